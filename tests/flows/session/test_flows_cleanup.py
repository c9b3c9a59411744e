"""The next writing command removes files of killed commands, and keeps those of live ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import PACKAGES, World

from skillpm.spec.digests import Digest
from skillpm.store.scratch import staged_beside, sweep_scratch


@pytest.fixture
def made(world: World) -> World:
    """A project, and a pack in the registry."""
    base = write_plain(world.folder / "base", plain_tensors())
    world.init(base)
    world.publish((base, write_tuned(world.folder / "tuned", "mlp")), "acme/math", "1.0.0")
    return world


def _dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def _left(world: World, pid: int) -> list[Path]:
    """Files that a command with this process id may have left."""
    digest = Digest.of(b"x").hex
    paths = [
        world.home / "tmp" / f"pack-{pid}-x" / "layer",
        world.home / "store" / "tmp" / f"in-{pid}-x",
        world.home / "projects" / f".{digest}.json.{pid}.tmp",
        world.home / "cache" / "leaves" / f".{digest}.json.{pid}.tmp",
        world.home / "cache" / "surveys" / digest / f".{digest}.json.{pid}.tmp",
        world.home / "cache" / "fisher" / digest / f".index.json.{pid}.tmp",
        world.home / "cache" / "layers" / digest / f".{digest}.json.{pid}.tmp",
        world.project / f".acme-math-1.0.0.skillpack.{pid}.tmp",
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    return paths


@pytest.mark.parametrize("command", ["lock", "install acme/math", "graft"])
def test_writing_command_removes_files_of_dead_commands_only(made: World, command: str) -> None:
    gone, kept = _left(made, _dead()), _left(made, os.getppid())
    aside = made.home / "registry" / "tmp" / Digest.of(b"y").hex
    aside.write_text("half")
    made.ask(*command.split())
    assert not [path for path in (*gone, aside) if path.exists()]
    assert all(path.exists() for path in kept)


def test_command_with_a_reused_process_id_removes_files_of_the_earlier_one(
    made: World,
) -> None:
    mine = _left(made, os.getpid())
    made.ask("lock")
    assert not [path for path in mine if path.exists()]


def test_staged_files_of_a_locked_registry_are_kept(made: World) -> None:
    aside = made.home / "registry" / "tmp" / "half"
    aside.write_text("half")
    holding = (
        "import sys; from pathlib import Path; from skillpm_registry.db.disk import locked\n"
        "with locked(Path(sys.argv[1]), 1): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(made.home / "registry")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PACKAGES},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        made.ask("lock")
        assert aside.exists()
        process.kill()
    made.ask("lock")
    assert not aside.exists()


@pytest.mark.parametrize("name", [".out.7.skillpm-new", ".out.7.tmp", "thesis"])
def test_staged_files_are_removed_with_their_note(tmp_path: Path, name: str) -> None:
    folder, staged = tmp_path / "home", tmp_path / name
    if name.endswith("new"):
        staged.mkdir()
    else:
        staged.write_text("half")
    with staged_beside(folder, staged):
        (note,) = (folder / "tmp").iterdir()
        note.rename(note.with_name(f"beside-{_dead()}-x"))
    sweep_scratch(folder)
    assert staged.exists() == (name == "thesis"), "only what is named as ours is removed"
    assert not any((folder / "tmp").iterdir())


def test_unwritable_survey_cache_is_ignored(made: World) -> None:
    surveys = made.home / "cache" / "surveys"
    surveys.parent.mkdir(parents=True, exist_ok=True)
    surveys.write_text("no folder")
    pair = (made.folder / "base", made.folder / "tuned")
    made.pack(pair, "acme/small", "1.0.0", "--budget", "23kB")
