"""Modes of the files that commands create, and warnings about files that others can write."""

import os
import stat
from pathlib import Path

import pytest
from skillpm_world import World
from unprivileged import modes, run_bound

FOLDER, FILE = 0o700, 0o600


def _modes(folder: Path) -> set[int]:
    return {path.lstat().st_mode for path in (folder, *folder.rglob("*"))}


def _check_private(folder: Path) -> None:
    for mode in _modes(folder):
        assert stat.S_IMODE(mode) == (FOLDER if stat.S_ISDIR(mode) else FILE)


def _fill(world: World, base: Path, pack: Path) -> None:
    """Run commands that create every kind of file in a home."""
    world.ask("init", "--base", base)
    world.ask("publish", pack)
    world.ask("install", "acme/math")
    world.ask("graft")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_new_home_is_private_for_any_umask(
    world: World, math: tuple[Path, Path], umask: int
) -> None:
    pack = world.pack(math, "acme/math", "1.0.0")
    before = os.umask(umask)
    try:
        _fill(world, math[0], pack)
    finally:
        os.umask(before)
    _check_private(world.home)


def test_files_in_a_readable_home_are_private(world: World, math: tuple[Path, Path]) -> None:
    world.home.mkdir(exist_ok=True)
    world.home.chmod(0o755)
    _fill(world, math[0], world.pack(math, "acme/math", "1.0.0"))
    for path in world.home.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_shared_home_gives_its_group_access_to_all_files(
    world: World, math: tuple[Path, Path], umask: int
) -> None:
    pack = world.pack(math, "acme/math", "1.0.0")
    world.home.mkdir(exist_ok=True)
    for path in (world.home, *world.home.rglob("*")):
        path.chmod(0o2770 if path.is_dir() else 0o660)
    before = os.umask(umask)
    try:
        _fill(world, math[0], pack)
    finally:
        os.umask(before)
    for mode in _modes(world.home):
        assert stat.S_IMODE(mode) == (0o2770 if stat.S_ISDIR(mode) else 0o660)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_shared_registry_gives_its_group_access_to_all_releases(
    world: World, math: tuple[Path, Path], umask: int
) -> None:
    pack, folder = world.pack(math, "acme/math", "1.0.0"), world.folder / "team"
    before = os.umask(umask)
    try:
        world.ask("registry", "init", folder, "--shared")
        world.ask("publish", pack, "--registry", folder)
    finally:
        os.umask(before)
    for mode in _modes(folder):
        assert stat.S_IMODE(mode) == (0o2770 if stat.S_ISDIR(mode) else 0o660)
    assert "warning" not in world.run("publish", pack, "--registry", folder).err


def test_new_registry_is_private_unless_its_folder_is_shared(
    world: World, math: tuple[Path, Path]
) -> None:
    pack, private, readable = (
        world.pack(math, "acme/math", "1.0.0"),
        *map(world.folder.joinpath, ("private", "readable")),
    )
    readable.mkdir(mode=0o755)
    for folder in (private, readable):
        world.ask("registry", "init", folder)
        world.ask("publish", pack, "--registry", folder)
    _check_private(private)
    assert set(modes(readable).values()) == {0o755, 0o644}


def test_existing_registry_is_not_made_shared(world: World) -> None:
    folder = world.folder / "ours"
    world.ask("registry", "init", folder)
    hint = world.fail("registry", "init", folder, "--shared", code=1, kind="state")
    assert "chmod -R g+rwX" in hint


def _exposed(installed: World, place: str) -> Path:
    return {
        "home": installed.home,
        "store": installed.home / "store",
        "project": installed.project,
        "state": installed.project / ".skillpm",
        "registry": installed.home / "registry",
        "above": installed.folder,
    }[place]


@pytest.mark.parametrize("mode", [0o777, 0o775])
@pytest.mark.parametrize("place", ["home", "store", "project", "state", "registry", "above"])
def test_doctor_and_writing_commands_warn_about_exposed_folders(
    installed: World, place: str, mode: int
) -> None:
    if mode == 0o775 and os.geteuid() != 0:
        pytest.skip("a group of this user alone is no other")
    folder = _exposed(installed, place)
    assert "warning" not in installed.run("lock").err
    folder.chmod(mode)
    for command in ("install", "lock", "graft", "gc"):
        err = installed.run(command, "-y").err
        assert "warning" in err, command
        assert str(folder) in err, command
    checks = installed.ask("doctor", code=0)["checks"]
    (found,) = [one for one in checks if one["check"] == "access" and one["status"] == "warn"]
    assert str(folder) in found["message"]
    assert "warning" not in installed.run("list").err
    folder.chmod(0o755)
    assert "warning" not in installed.run("lock").err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder away")
def test_home_of_another_user_is_reported(installed: World) -> None:
    os.chown(installed.home, 12_345, -1)
    assert "belongs to the user with the ID 12345" in installed.run("lock").err


@pytest.mark.parametrize("place", ["home", "registry"])
def test_denied_write_is_reported(installed: World, math: tuple[Path, Path], place: str) -> None:
    pack = installed.pack(math, "acme/math", "1.0.1")
    folder = _exposed(installed, place)
    places = (folder, *(path for path in folder.rglob("*") if path.is_dir()))
    for path in places:
        path.chmod(0o500)
    outcome = run_bound("publish", pack)
    for path in places:
        path.chmod(0o700)
    assert outcome.code == 1
    assert "read-only for this user" in outcome.err or "permission denied" in outcome.err
    assert "corrupt" not in outcome.err
    assert "damaged" not in outcome.err
