"""Untrusted projects on the command line: nothing is written outside the project folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_models import Pair


@pytest.fixture
def victim(world: World) -> Path:
    """A folder that a hostile project names: its `tmp` has files, and it is not a registry."""
    folder = world.folder / "victim"
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / "thesis.tex").write_text("years of work")
    return folder


def _name_registry(world: World, folder: Path) -> None:
    world.file.write_text(f'{world.file.read_text()}[registries]\ndefault = "{folder}"\n')


def test_folder_that_a_project_names_as_registry_is_not_cleaned_up(
    world: World, math: Pair, victim: Path
) -> None:
    pack = world.pack(math, "acme/math", "1.0.0")
    world.init(math[0])
    before = snapshot(victim)
    _name_registry(world, victim)
    world.fail("install", "acme/math", code=5, kind="registry")
    world.run("install", pack)
    world.run("publish", pack)
    world.run("gc")
    assert snapshot(victim) == before


def test_registry_outside_the_project_is_created_only_by_registry_init(
    world: World, math: Pair
) -> None:
    pack, new = world.pack(math, "acme/math", "1.0.0"), world.folder / "new"
    world.init(math[0])
    _name_registry(world, new)
    for command in ("install", "publish"):
        text = world.fail(command, pack, code=2, kind="usage")
        assert f"skillpm registry init {new}" in text
    assert not new.exists()
    world.ask("registry", "init", new)
    world.ask("install", pack)
    assert world.installed() == {"acme/math": "1.0.0"}


def test_registry_inside_the_project_is_created_by_publishing(world: World, math: Pair) -> None:
    pack = world.pack(math, "acme/math", "1.0.0")
    world.init(math[0])
    _name_registry(world, Path("ours"))
    world.ask("install", pack)
    assert (world.project / "ours" / "registry.db").exists()


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [_pipe, _endless])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("apply", "plan.json"), "plan.json"),
        (("diff", "theirs.lock"), "theirs.lock"),
        (("bundle", "all.skillbundle"), "all.skillbundle"),
        (("install", "--from", "all.skillbundle"), "all.skillbundle"),
        (("list",), "skillpm.lock"),
        (("config", "show"), "skillpm.toml"),
    ],
)
def test_pipe_or_device_in_place_of_a_file_does_not_block(
    world: World, math: Pair, put: Callable[[Path], None], command: tuple[str, ...], name: str
) -> None:
    world.init(math[0])
    (world.project / name).unlink(missing_ok=True)
    put(world.project / name)
    outcome = world.run(*command, "--json")
    assert outcome.code in {0, 1}
    assert "a bug in skillpm" not in outcome.out
