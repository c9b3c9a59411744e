"""A transfer that is killed continues: nothing is asked twice, and the result is the same."""

import json
import signal
import socket
import threading
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
    "half sampled": has_answers(160),
    "filtered": has("verdicts.jsonl"),
    "training": has("sft/rows.sha256"),
    "trained": has("sft/model"),
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


def test_killed_transfer_asks_nothing_twice(transfer: "TransferWorld") -> None:
    transfer.write()
    assert killed_at(POINTS["half sampled"], transfer.world.home, transfer.file)
    log = transfer.workspace / "answers" / "gpt.jsonl"
    answered = log.read_bytes()
    answered = answered[: answered.rfind(b"\n") + 1]
    whole = b"".join(answered.splitlines(keepends=True)[: answered.count(b"\n") // 16 * 16])
    digest_of(transfer.file)
    assert log.read_bytes().startswith(whole), "recorded answers stay as they were"
    check_answers(log)


def check_answers(log: Path) -> None:
    """Every draw of every prompt is recorded once."""
    answers = [json.loads(line) for line in log.read_text().splitlines()]
    assert len({(line["id"], line["draw"]) for line in answers}) == len(answers) == 324


@pytest.mark.slow
def test_transfer_killed_in_three_stages_gives_the_same_pack(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer.write()
    kills, lines = 0, list[bytes]()
    for name in ("half sampled", "training", "packing"):
        point = POINTS[name]
        kills += killed_at(point, transfer.world.home, transfer.file)
        log = (transfer.workspace / "answers" / "gpt.jsonl").read_bytes()
        whole = log[: log.rfind(b"\n") + 1].splitlines()
        assert whole[: len(lines)] == lines, "recorded answers stay as they were"
        lines = whole[: len(whole) // 16 * 16]
    assert kills >= 2
    digest = digest_of(transfer.file)
    rows = (transfer.workspace / "sft.jsonl").read_bytes()
    check_answers(transfer.workspace / "answers" / "gpt.jsonl")

    monkeypatch.setenv("SKILLPM_HOME", str(transfer.world.folder / "other"))
    again = digest_of(transfer.file)
    (other,) = (transfer.world.folder / "other" / "transfer").iterdir()
    assert (other / "sft.jsonl").read_bytes() == rows
    assert again == digest


def interrupted_at(point: Point, number: signal.Signals, home: Path, file: Path) -> int | None:
    """Run the transfer, and interrupt it when the point is reached; return its exit code.

    None if it ended before. It must end within a minute, with the one sentence of an interrupt.
    """
    with start_process("transfer", file, "-q") as process:
        sent = False
        while process.poll() is None and not sent:
            folders = list((home / "transfer").glob("*"))
            if folders and point(folders[0]):
                process.send_signal(number)
                sent = True
            time.sleep(0.002)
        _, err = process.communicate(timeout=60)
    if sent and process.returncode:
        assert "Traceback" not in err
        assert "interrupted" in err
    return process.returncode if sent else None


@pytest.mark.slow
def test_interrupt_in_any_stage_exits_with_130_and_the_transfer_continues(
    transfer: "TransferWorld",
) -> None:
    transfer.write()
    codes = []
    for place, name in enumerate(("half sampled", "training", "evaluating", "packing")):
        number = (signal.SIGTERM, signal.SIGINT)[place % 2]
        codes.append(interrupted_at(POINTS[name], number, transfer.world.home, transfer.file))
    assert set(codes) <= {130, None}
    assert codes.count(130) >= 3
    digest_of(transfer.file)
    assert transfer.pack.exists()


def test_interrupt_does_not_wait_for_a_silent_endpoint(transfer: "TransferWorld") -> None:
    from faulty_server import serving

    asked = threading.Event()

    def silent(connection: socket.socket) -> None:
        asked.set()
        connection.settimeout(100)
        connection.recv(1)

    with serving(silent) as server:
        transfer.write(source=f'endpoint = "{server.url}"\nserved = "m"')
        with start_process("transfer", transfer.file, "-q") as process:
            assert asked.wait(timeout=300)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=90)  # a silent server has two minutes
    assert process.returncode == 130
