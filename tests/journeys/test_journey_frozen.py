"""`install --frozen`: the lock is never written, and the reason for a refusal is given."""

import hashlib

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair

from skillpm.spec.lockfile import parse_lockfile


@pytest.fixture
def sql(models: Models) -> Pair:
    return models.tuned("attn", seed=2)


@pytest.fixture
def installed(world: World, math: Pair, sql: Pair) -> World:
    """A project with one skill; another is published."""
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(sql, "acme/sql", "1.0.0")
    world.ask("install", "acme/math")
    return world


def _md5(world: World) -> str:
    data = (world.project / "skillpm.lock").read_bytes()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("edit", ["comment", "no root", "none"])
def test_install_frozen_never_writes_the_lock(installed: World, edit: str) -> None:
    installed.graft_root()
    path = installed.project / "skillpm.lock"
    if edit == "comment":
        path.write_text(installed.lock + "\n# ours\n")
    elif edit == "no root":
        lock = parse_lockfile(installed.lock)
        path.write_text(lock.with_root(None).dumps())
    before = _md5(installed)
    assert installed.ask("install", "--frozen")["generation"] == 1
    assert installed.ask("install", "acme/math", "--frozen")["kept"] == 1
    assert _md5(installed) == before
    installed.run("-C", installed.project, "history")
    (installed.project / ".skillpm").rename(installed.folder / "state")
    assert installed.ask("install", "--frozen")["generation"] == 1
    assert _md5(installed) == before


@pytest.mark.parametrize("requirement", ['"acme/sql" = "*"', '"acme/unknown" = "^3"'])
@pytest.mark.parametrize("away", [False, True])
def test_install_frozen_explains_why_the_lock_would_change(
    installed: World,
    requirement: str,
    away: bool,  # noqa: FBT001 - a case
) -> None:
    installed.file.write_text(installed.file.read_text() + requirement + "\n")
    if away:
        (installed.home / "registry").rename(installed.home / "gone")
    before = snapshot(installed.project)
    text = installed.fail("install", "--frozen", code=1, kind="state")
    assert requirement.split('"')[1] in text
    assert "skillpm lock" in text
    assert snapshot(installed.project) == before


def test_install_frozen_with_an_unlocked_skill_changes_nothing(installed: World) -> None:
    before = snapshot(installed.project)
    assert "--frozen" in installed.fail("install", "acme/sql", "--frozen", code=1, kind="state")
    assert snapshot(installed.project) == before
