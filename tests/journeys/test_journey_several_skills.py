"""Several skills in one project: sums, requirements and conflicts."""

from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair, copy_model, rewrite


@pytest.fixture
def sql(models: Models) -> Pair:
    return models.tuned("attn", seed=2)


@pytest.fixture
def both(models: Models) -> Pair:
    return models.tuned("mlp", seed=3)


def test_install_order_does_not_affect_lock_and_graft(
    world: World, math: Pair, sql: Pair, both: Pair
) -> None:
    world.init(math[0])
    for name, pair in (("math", math), ("sql", sql), ("both", both)):
        world.publish(pair, f"acme/{name}", "1.0.0")
    seen = set()
    for order in (("math", "sql", "both"), ("both", "math", "sql"), ("sql", "both", "math")):
        for name in order:
            world.ask("install", f"acme/{name}")
        root = world.graft_root()
        assert f'root = "{root}"' in world.lock
        seen.add((world.lock, root))
        world.ask("uninstall", *(f"acme/{name}" for name in order))
    assert len(seen) == 1


def test_requirements_are_installed_and_removed_with_their_skill(
    world: World, math: Pair, sql: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.2.0")
    world.publish(sql, "acme/sql", "1.0.0", "--requires", "acme/math ^1.1")

    assert len(world.ask("install", "acme/sql")["added"]) == 2
    assert "acme/math" not in world.file.read_text()
    assert "acme/sql" in world.fail("uninstall", "acme/math", code=1, kind="state")

    assert len(world.ask("uninstall", "acme/sql")["removed"]) == 2
    assert world.installed() == {}


def test_install_refuses_a_declared_conflict(world: World, math: Pair, sql: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(sql, "acme/sql", "1.0.0", "--conflicts", "acme/math <2")
    world.ask("install", "acme/math")
    before = snapshot(world.project)

    text = world.fail("install", "acme/sql", code=4, kind="resolution")

    assert "acme/sql" in text
    assert "acme/math" in text
    assert snapshot(world.project) == before


def test_install_refuses_added_tensors_that_differ(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, tuned = models.pair("head")
    other = copy_model(tuned, tmp_path / "other")
    rewrite(other, lambda tensors: tensors["classifier.weight"].add_(1))
    world.init(base)
    world.publish((base, tuned), "acme/one", "1.0.0")
    world.publish((base, other), "acme/two", "1.0.0")
    world.ask("install", "acme/one")
    before = snapshot(world.project)

    assert "classifier.weight" in world.fail("install", "acme/two", code=4, kind="resolution")

    assert snapshot(world.project) == before
