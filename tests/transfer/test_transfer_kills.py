"""A transfer that is killed continues: nothing is asked twice, and the result is the same."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from skillpm_world import start_process

if TYPE_CHECKING:
    from transfer_world import TransferWorld

Point = Callable[[Path], bool]


def has_answers(count: int) -> Point:
    def reached(folder: Path) -> bool:
        log = folder / "answers" / "gpt.jsonl"
        return log.exists() and log.read_bytes().count(b"\n") >= count

    return reached


def has(pattern: str) -> Point:
    return lambda folder: any(folder.glob(pattern))


POINTS: dict[str, Point] = {
    "rehearsed": has_answers(16),
    "half sampled": has_answers(160),
    "filtered": has("verdicts.jsonl"),
    "first checkpoint": has("sft/checkpoint-*/complete.json"),
    "trained": has("sft/model"),
    "rounded": has("sft/tuned"),
    "evaluating": has("general/sft.jsonl"),
    "packing": has("router.jsonl"),
}


def killed_at(point: Point, home: Path, file: Path) -> bool:
    """Run the transfer, and kill it when the point is reached; False if it ended before."""
    with start_process("transfer", file, "-q", SOURCE_DATE_EPOCH="1700000000") as process:
        while process.poll() is None:
            folders = list((home / "transfer").glob("*"))
            if folders and point(folders[0]):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.communicate()
    return process.returncode == -signal.SIGKILL


def digest_of(file: Path) -> str:
    """Run to the end; return the digest of the pack."""
    with start_process("transfer", file, "--json", SOURCE_DATE_EPOCH="1700000000") as process:
        out, err = process.communicate(timeout=1800)
    assert process.returncode == 0, err
    digest: str = json.loads(out)["pack"]["digest"]
    return digest


def test_killed_transfer_asks_nothing_twice_and_gives_the_same_pack(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer.write()
    kills, lines = 0, list[bytes]()
    for point in POINTS.values():
        kills += killed_at(point, transfer.world.home, transfer.file)
        log = (transfer.workspace / "answers" / "gpt.jsonl").read_bytes()
        whole = log[: log.rfind(b"\n") + 1].splitlines()
        assert whole[: len(lines)] == lines, "recorded answers stay as they were"
        lines = whole[: len(whole) // 16 * 16]
    assert kills >= 3
    digest = digest_of(transfer.file)
    rows = (transfer.workspace / "sft.jsonl").read_bytes()
    answers = [
        json.loads(line)
        for line in (transfer.workspace / "answers" / "gpt.jsonl").read_text().splitlines()
    ]
    assert len({(line["id"], line["draw"]) for line in answers}) == len(answers) == 324

    monkeypatch.setenv("SKILLPM_HOME", str(transfer.world.folder / "other"))
    again = digest_of(transfer.file)
    (other,) = (transfer.world.folder / "other" / "transfer").iterdir()
    assert (other / "sft.jsonl").read_bytes() == rows
    assert again == digest


def test_interrupted_transfer_exits_with_130_and_continues(transfer: "TransferWorld") -> None:
    transfer.write()
    with start_process("transfer", transfer.file, "--json") as process:
        while process.poll() is None:
            folders = list((transfer.world.home / "transfer").glob("*"))
            if folders and has_answers(32)(folders[0]):
                process.send_signal(signal.SIGTERM)
                break
            time.sleep(0.002)
        out, _ = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert digest_of(transfer.file).startswith("sha256:")
