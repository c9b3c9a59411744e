"""A hostile home: nothing outside of it is opened, changed or removed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_files import broken_link, clear, folder, huge, link_to_file, link_to_folder, pipe
from inotify_watch import Witness
from skillpm_world import World

from skillpm.spec.digests import Digest

PLACES = (
    "store", "store/lock", "store/tmp", "store/sha256", "SHELF", "BLOB", "tmp", "tmp/NOTE",
    "tmp/NOTE/beside", "projects", "RECORD", "cache", "cache/leaves", "LEAVES", "cache/surveys",
    "cache/surveys/one", "grafts", "registry", "registry/tmp", "registry/tmp/left",
)  # fmt: skip
COMMANDS = (
    "install", "graft --fresh", "gc -y --grace 0 --keep 1", "cache info", "cache verify --repair",
    "cache clean", "publish PACK", "list", "doctor",
)  # fmt: skip


PLANTS = (link_to_file, link_to_folder, broken_link, pipe, folder, huge)


@pytest.fixture
def installed(world: World, math: tuple[Path, Path]) -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    return world


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    (place / "left").mkdir(parents=True)
    (place / "thesis.txt").write_text("years of work")
    (place / "left" / "cat").write_text("a cat")
    (place / f".thesis.{os.getpid()}.tmp").write_text("not of skillpm")
    old = 1_000_000_000
    for path in (place, *place.rglob("*")):
        os.utime(path, (old, old))  # old enough for every cache to remove it
    return place


def _dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def _place(world: World, name: str) -> Path:
    blobs = sorted((world.home / "store" / "sha256").glob("??/*"))
    named = {
        "SHELF": blobs[0].parent,
        "BLOB": blobs[0],
        "RECORD": world.home
        / "projects"
        / f"{Digest.of(os.fsencode(world.project)).hex[:32]}.json",
        "LEAVES": next((world.home / "cache" / "leaves").glob("*.json"), world.home / "cache/x"),
    }
    return named.get(name) or world.home / name.replace("NOTE", f"beside-{_dead()}-x")


def _attack(world: World, outside: Path, name: str, plant: Callable[[Path, Path], None]) -> None:
    place = _place(world, name)
    clear(place)
    plant(place, outside)
    witness = Witness(outside)
    for command in COMMANDS:
        words = command.replace("PACK", str(world.folder / "acme-math-1.0.0.skillpack")).split()
        outcome = world.run(*words)
        assert outcome.code in (0, 1, 3, 5), (command, outcome)
        assert "Traceback" not in outcome.err, (command, outcome)
        assert witness.events() == [], command
    witness.close()


CASES = [(name, plant) for name in PLACES for plant in PLANTS]


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        pytest.param(*case, marks=[] if number % 7 == 0 else [pytest.mark.slow])
        for number, case in enumerate(CASES)
    ],
)
def test_commands_do_not_leave_a_hostile_home(
    installed: World, outside: Path, name: str, plant: Callable[[Path, Path], None]
) -> None:
    installed.run("graft")
    _attack(installed, outside, name, plant)


@pytest.mark.parametrize("named", ["thesis.txt", "left", "."])
def test_staging_note_removes_no_file_of_another_name(
    installed: World, outside: Path, named: str
) -> None:
    note = installed.home / "tmp" / f"beside-{_dead()}-x"
    note.mkdir(parents=True)
    (note / "beside").write_text(str(outside / named))
    witness = Witness(outside)
    installed.ask("lock")
    assert witness.events() == []
    assert not note.exists()
    witness.close()


def test_staging_note_in_a_world_writable_home_is_ignored(installed: World, tmp_path: Path) -> None:
    note, staged = installed.home / "tmp" / f"beside-{_dead()}-x", tmp_path / ".thesis.7.tmp"
    staged.write_text("years of work")
    note.mkdir(parents=True)
    (note / "beside").write_text(str(staged))
    installed.home.chmod(0o777)
    installed.run("lock")
    assert staged.exists()
    assert not note.exists()
    installed.home.chmod(0o700)


def test_project_record_under_another_name_is_damaged(installed: World, tmp_path: Path) -> None:
    (record,) = (installed.home / "projects").glob("*.json")
    record.rename(record.with_name("0" * 32 + ".json"))
    assert "is damaged" in installed.fail("gc", "-y", code=1, kind="state")
