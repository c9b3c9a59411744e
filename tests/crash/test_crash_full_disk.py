"""Law 4 for a disk that is full at any step while a registry, a store or a graft is written."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from full_disks import STEP, Disk, mounted, run_apart
from skillpm_world import Outcome, World, run_here

MARGIN = 3
"""Steps that must succeed in a row, before a disk counts as large enough."""


@pytest.fixture(params=["tmpfs", pytest.param("ext4", marks=pytest.mark.slow)])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """A file system of some megabytes."""
    with mounted(tmp_path, request.param, 6) as found:
        yield found


@dataclass(frozen=True)
class Job:
    """The output on the disk: the command, its check, and its removal."""

    command: tuple[object, ...]
    check: Callable[[], None]
    clean: Callable[[], None]


def _remove(*places: Path) -> None:
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def _registry(world: World, disk: Disk, pack: Path) -> Job:
    folder = disk.folder / "registry"

    def check() -> None:
        assert len(world.ask("search", "", "--registry", folder)["results"]) == 1
        assert {path.name for path in folder.iterdir()} >= {"registry.db", "blobs"}
        assert not list((folder / "tmp").iterdir())

    return Job(("publish", pack, "--registry", folder), check, lambda: _remove(folder))


def _store(world: World, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Job:
    registry, home = world.home / "registry", disk.folder / "home"
    aside = world.folder / "before"
    shutil.copytree(world.project, aside)
    monkeypatch.setenv("SKILLPM_HOME", str(home))

    def check() -> None:
        assert world.installed() == {"acme/math": "1.0.0"}
        assert world.ask("cache", "verify")["damaged"] == []
        assert not list((home / "store" / "tmp").iterdir())

    def clean() -> None:
        _remove(home)
        for path in world.project.iterdir():
            _remove(path) if path.is_dir() else path.unlink()
        shutil.copytree(aside, world.project, dirs_exist_ok=True)

    return Job(("install", "acme/math", "--registry", registry), check, clean)


def _graft(world: World, disk: Disk, root: str) -> Job:
    target = disk.folder / "graft"

    def check() -> None:
        assert world.ask("identify", target)["root"] == root
        assert {path.name for path in disk.folder.iterdir()} <= {"graft", "lost+found"}

    return Job(("graft", "-o", target), check, lambda: _remove(target))


def _try_every_step(disk: Disk, job: Job, *, stride: int) -> tuple[int, int]:
    """Run the command with more and more space; return how often it failed, and ran."""
    failed = ran = in_a_row = 0
    while in_a_row < MARGIN:
        disk.leave(ran * stride * STEP)
        code = run_apart(*job.command)
        assert code in (0, 1), f"{ran * stride * STEP} bytes free: exit {code}"
        disk.free()
        in_a_row = in_a_row + 1 if code == 0 else 0
        failed, ran = failed + (code != 0), ran + 1
        again: Outcome = run_here(*job.command)
        assert again.code == 0, f"{(ran - 1) * stride * STEP} bytes free: {again}"
        job.check()
        job.clean()
    return failed, ran


@pytest.fixture(params=[23, pytest.param(1, marks=pytest.mark.slow)])
def stride(request: pytest.FixtureRequest) -> int:
    """In thorough runs, every step of 4 kB."""
    found: int = request.param
    return found


@pytest.fixture
def pack(world: World, math: tuple[Path, Path]) -> Path:
    world.init(math[0])
    return world.pack(math, "acme/math", "1.0.0")


def _judge(counts: tuple[int, int], what: str) -> None:
    failed, ran = counts
    print(f"{what}: {failed} of {ran} tries failed, all were made good")  # noqa: T201
    assert failed > 0


def test_registry_is_created_after_a_full_disk(
    world: World, disk: Disk, pack: Path, stride: int
) -> None:
    _judge(_try_every_step(disk, _registry(world, disk, pack), stride=stride), "registry")


def test_store_is_created_after_a_full_disk(
    world: World, disk: Disk, pack: Path, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask("publish", pack)
    _judge(_try_every_step(disk, _store(world, disk, monkeypatch), stride=stride), "store")


def test_graft_is_created_after_a_full_disk(
    world: World, disk: Disk, pack: Path, stride: int
) -> None:
    world.ask("publish", pack)
    world.ask("install", "acme/math")
    root = world.graft_root("-o", world.folder / "elsewhere")
    _judge(_try_every_step(disk, _graft(world, disk, root), stride=stride), "graft")
