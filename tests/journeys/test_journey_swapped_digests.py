"""Locks, generations and registries that name one skill and the digest of another."""

from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair, copy_model, rewrite


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


def _swap_digests(world: World, path: Path) -> None:
    """Put the digest of acme/sql in the place of acme/math's."""
    ours = world.ask("show", "acme/math")["releases"][0]["digest"]
    theirs = world.ask("show", "acme/sql")["releases"][0]["digest"]
    path.write_text(path.read_text().replace(ours, theirs))


def test_install_refuses_a_lock_entry_with_another_skills_digest(installed: World) -> None:
    installed.ask("uninstall", "acme/math")
    installed.ask("rollback")
    _swap_digests(installed, installed.project / "skillpm.lock")
    before = snapshot(installed.project)
    for more in ((), ("--frozen",), ("--dry-run",)):
        text = installed.fail("install", *more, code=3, kind="integrity")
        assert "acme/sql 1.0.0" in text
    assert snapshot(installed.project) == before


def test_graft_and_rollback_refuse_a_generation_with_another_skills_digest(
    installed: World,
) -> None:
    installed.ask("install", "acme/sql")
    installed.ask("uninstall", "acme/sql")
    generations = installed.project / ".skillpm" / "generations"
    for number in (1, 3):
        _swap_digests(installed, generations / f"{number}.json")
    installed.fail("graft", code=3, kind="integrity")
    installed.fail("rollback", 1, code=3, kind="integrity")
    assert installed.ask("history")["current"] == 3


def test_install_refuses_a_layered_pack_whose_lower_release_has_another_digest(
    world: World, models: Models, math: Pair, sql: Pair, tmp_path: Path
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    tuned = copy_model(math[1], tmp_path / "over")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    upper = world.pack((math[0], tuned), "acme/up", "1.0.0", "--over", "acme/math@1.0.0")
    other = tmp_path / "other"
    lower = tmp_path / "other-math.skillpack"
    world.ask("pack", *sql, "--name", "acme/math", "--version", "1.0.0", "-o", lower)
    for path in (lower, upper):
        world.ask("publish", path, "--registry", other)
    before = snapshot(world.project)
    text = world.fail("install", "acme/up", "--registry", other, code=4, kind="resolution")
    assert "is layered on `acme/math` 1.0.0" in text
    assert snapshot(world.project) == before
