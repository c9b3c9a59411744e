"""`gc` and `cache` on folders of transfers: their size is shown, and they go only when asked."""

import os
import time
from pathlib import Path

import pytest
from skillpm_world import World, run_here

from skillpm.transfer.workspace import TransferWorkspace

DAY = 86_400.0


def workspace(world: World, key: str, *, days: float) -> Path:
    """The folder of a transfer that was last used some days ago."""
    with TransferWorkspace.open(world.home, key * 32, timeout=0, say=print) as made:
        made.write("sft.jsonl", b"x" * 2_000_000)
        folder = made.path
    os.utime(folder, (time.time() - days * DAY,) * 2)
    return folder


@pytest.fixture
def folders(world: World) -> tuple[Path, Path]:
    """An old and a new folder."""
    return workspace(world, "a", days=40), workspace(world, "b", days=1)


def test_cache_shows_the_size_of_transfers_and_clean_keeps_them(
    world: World, folders: tuple[Path, Path]
) -> None:
    assert world.ask("cache", "info")["sizes"]["transfers"] >= 4_000_000
    assert "transfers" in run_here("cache", "info").out
    world.ask("cache", "clean")
    assert all(folder.exists() for folder in folders)


def test_gc_names_old_transfers_and_removes_them_when_asked(
    world: World, folders: tuple[Path, Path]
) -> None:
    old, new = folders
    kept = world.ask("gc")
    assert kept["transfer_bytes"] == 0
    assert any("take 2.0 MB" in note and "--transfers 30" in note for note in kept["notes"])
    would = world.ask("gc", "--transfers", "30", "--dry-run")
    assert would["transfer_bytes"] >= 2_000_000
    assert old.exists()
    done = world.ask("gc", "--transfers", "30")
    assert done["transfer_bytes"] == would["transfer_bytes"]
    assert (old.exists(), new.exists()) == (False, True)
    assert "of transfers" in run_here("gc", "--transfers", "0").out
    assert not new.exists()


def test_gc_keeps_a_transfer_that_is_in_use(world: World, folders: tuple[Path, Path]) -> None:
    old, _ = folders
    with TransferWorkspace.open(world.home, old.name, timeout=0, say=print):
        os.utime(old, (time.time() - 40 * DAY,) * 2)
        done = world.ask("gc", "--transfers", "30")
    assert old.exists()
    assert done["transfer_bytes"] == 0
    assert any(old.name in note and "in use" in note for note in done["notes"])


def statuses(world: World) -> list[tuple[str, str]]:
    return [(each["check"], each["status"]) for each in world.ask("doctor")["checks"]]


def test_doctor_accepts_folders_of_transfers(world: World, folders: tuple[Path, Path]) -> None:
    before = statuses(world)
    for folder in folders:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert before == statuses(world)
