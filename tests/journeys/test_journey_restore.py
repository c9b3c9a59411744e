"""A lost or damaged blob of the store is fetched again by the command that needs it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from skillpm_world import World
from unprivileged import run_bound


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _remove(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    aside = path.parents[3] / "aside"
    path.rename(aside)
    path.symlink_to(aside)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    (path / "below").mkdir(parents=True)


DAMAGE = (_flip, _cut, _remove, _link, _pipe, _folder)


def _stored(world: World) -> list[Path]:
    return sorted((world.home / "store" / "sha256").glob("??/*"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_install_fetches_every_damaged_blob_again(
    installed: World, damage: Callable[[Path], None]
) -> None:
    blobs = _stored(installed)
    for path in blobs:
        damage(path)
    done = installed.ask("install")
    assert (done["generation"], done["added"], done["changed"]) == (1, [], [])
    assert _stored(installed) == blobs
    assert installed.ask("cache", "verify")["damaged"] == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_graft_fetches_a_damaged_blob_again_and_reports_it(
    installed: World, damage: Callable[[Path], None]
) -> None:
    root = installed.graft_root()
    for path in _stored(installed):
        damage(path)
        outcome = installed.run("graft", "--fresh", "-o", installed.folder / path.name)
        assert outcome.code == 0, outcome
        assert "was fetched again" in outcome.err
        assert installed.ask("cache", "verify")["damaged"] == []
        assert installed.graft_root() == root


@pytest.mark.parametrize("command", ["graft", "install"])
def test_damage_that_cannot_be_repaired_is_reported_with_the_reason(
    installed: World, command: str
) -> None:
    payload = max(_stored(installed), key=lambda path: path.stat().st_size)
    _flip(payload)
    aside = (installed.home / "registry").rename(installed.home / "aside")
    before = payload.read_bytes()
    outcome = installed.run(command, "--json")
    assert outcome.code != 0
    text = f"{outcome.error['message']} {outcome.error['hint']}"
    assert payload.name in text
    assert "registry" in text
    assert payload.read_bytes() == before
    aside.rename(installed.home / "registry")
    installed.ask(command)
    assert installed.ask("cache", "verify")["damaged"] == []


def test_install_reports_a_registry_with_the_same_damaged_blob(installed: World) -> None:
    payload = max(_stored(installed), key=lambda path: path.stat().st_size)
    for path in (payload, *(installed.home / "registry").rglob(payload.name)):
        _flip(path)
    hint = installed.fail("install", code=3, kind="integrity")
    assert "publish the same pack again" in hint


@pytest.mark.parametrize("command", ["install", "cache verify", "cache verify --repair"])
def test_unreadable_blob_is_not_reported_as_damaged(installed: World, command: str) -> None:
    payload = max(_stored(installed), key=lambda path: path.stat().st_size)
    payload.chmod(0)
    outcome = run_bound(*command.split())
    payload.chmod(0o600)
    assert outcome.code == 1
    assert "permission denied" in outcome.err.lower()
    assert str(payload) in outcome.err
    assert "damaged" not in outcome.err + outcome.out
