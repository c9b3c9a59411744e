"""Published releases: immutable, yanked, and found by name."""

import pytest
from skillpm_world import World
from tiny_models import Models, Pair


@pytest.fixture
def both(models: Models) -> Pair:
    return models.tuned("mlp", seed=3)


def test_yanked_release_is_hidden_from_new_locks_and_kept_by_old_ones(
    world: World, math: Pair, both: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(both, "acme/math", "1.1.0")
    world.ask("install", "acme/math")
    assert world.ask("yank", "acme/math@1.1.0", "--reason", "overfits")["yanked"]

    world.ask("install")
    assert world.installed() == {"acme/math": "1.1.0"}
    found = world.ask("audit", code=3)["findings"]
    assert [(one["level"], one["code"]) for one in found][:1] == [("high", "yanked")]
    assert "overfits" in found[0]["message"]
    assert world.run("audit", "--fail-on", "critical").code == 0

    world.ask("uninstall", "acme/math")
    world.ask("install", "acme/math")
    assert world.installed() == {"acme/math": "1.0.0"}
    world.ask("unyank", "acme/math@1.1.0")
    world.ask("upgrade")
    assert world.installed() == {"acme/math": "1.1.0"}


def test_publish_refuses_another_file_for_a_release(world: World, math: Pair, both: Pair) -> None:
    path = world.pack(math, "acme/math", "1.0.0")
    first = world.ask("publish", path)
    assert world.ask("publish", path) == {**first, "created": False}
    other = world.folder / "other.skillpack"
    named = ("--name", "acme/math", "--version", "1.0.0", "-o", other)
    world.ask("pack", *both, *named)
    assert "already" in world.fail("publish", other, code=1, kind="state")
    assert world.ask("show", "acme/math")["releases"][0]["digest"] == first["digest"]


def test_unknown_skill_is_reported_with_the_nearest_name(world: World, math: Pair) -> None:
    world.init(math[0])
    world.fail("install", "acme/math", code=4, kind="not_found")
    world.publish(math, "acme/math", "1.0.0")
    assert "acme/math" in world.fail("show", "acme/mth", code=4, kind="not_found")
    world.fail("install", "acme/math@9", code=4, kind="resolution")
    world.fail("install", "acme/nothing", code=4, kind="not_found")
    world.fail("yank", "acme/math@9.0.0", code=4, kind="not_found")


def test_yank_of_a_skill_without_a_version_yanks_nothing(installed: World, models: Models) -> None:
    installed.publish(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    text = installed.fail("yank", "acme/math", code=2, kind="usage")
    assert "acme/math@1.1.0" in text
    assert not any(one["yanked"] for one in installed.ask("show", "acme/math")["releases"])
