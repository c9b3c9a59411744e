"""A transfer whose disk is full at any point: a clear error, and it continues with more room."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from full_disks import Disk, mounted, run_apart
from skillpm_world import run_here

if TYPE_CHECKING:
    from transfer_world import TransferWorld

BATCH = 16


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path, "tmpfs", 64) as found:
        yield found


@pytest.fixture(params=[4.0, pytest.param(1.2, marks=pytest.mark.slow)])
def growth(request: pytest.FixtureRequest) -> float:
    """How much more space the next run gets. In thorough runs, each stage fails several times."""
    found: float = request.param
    return found


def recorded(home: Path) -> list[bytes]:
    """The recorded answers of whole batches."""
    logs = list(home.glob("transfer/*/answers/gpt.jsonl"))
    lines = logs[0].read_bytes().split(b"\n")[:-1] if logs else []
    return lines[: len(lines) // BATCH * BATCH]


@pytest.mark.slow
def test_transfer_continues_after_a_full_disk(
    transfer: "TransferWorld", disk: Disk, growth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = disk.folder / "home"
    monkeypatch.setenv("SKILLPM_HOME", str(home))
    transfer.write()
    free, failed, lines = 8192.0, 0, list[bytes]()
    while True:
        disk.leave(int(free))
        code = run_apart("transfer", transfer.file)
        assert code in (0, 1), f"{int(free)} bytes free: exit {code}"
        disk.free()
        now = recorded(home)
        assert now[: len(lines)] == lines, "what was recorded is lost"
        lines, free = now, free * growth
        if code == 0:
            break
        failed += 1
    assert failed >= 3
    assert len({(line["id"], line["draw"]) for line in map(json.loads, lines)}) == len(lines)
    assert transfer.pack.exists()
    again = run_here("transfer", transfer.file, "--json")
    assert again.code == 0
    (key,) = (home / "transfer").iterdir()
    assert not list(key.rglob("*.part")) + list(key.rglob("*.tmp"))


def test_full_disk_while_answers_are_recorded_loses_only_those_in_flight(
    disk: Disk,
) -> None:
    from skillpm.errors import StateError
    from skillpm.transfer.answers import RecordedAnswer
    from skillpm.transfer.workspace import TransferWorkspace

    def answers(start: int) -> list[RecordedAnswer]:
        return [
            RecordedAnswer(key="k", id=f"p{n}", draw=0, text="x" * 500, finish="stop", tokens=1)
            for n in range(start, start + BATCH)
        ]

    with TransferWorkspace.open(disk.folder, "a" * 32, timeout=0, say=print) as workspace:
        file = workspace.answers("gpt")
        disk.leave(5 * 4096)
        kept: list[RecordedAnswer] = []

        def fill() -> None:
            for batch in range(10):
                file.append(answers(batch * BATCH))
                kept.extend(answers(batch * BATCH))

        with pytest.raises(StateError, match="No space left"):
            fill()
        disk.free()
        assert kept
        assert list(file.read())[: len(kept)] == kept
        file.append(answers(1000))
        assert list(file.read())[-BATCH:] == answers(1000)
