"""Weights of skills in the project file."""

import json

import pytest
from skillpm_world import World, root_of
from tiny_models import Models, Pair


def test_graft_refuses_a_weight_too_small_to_change_a_tensor(installed: World) -> None:
    requirement = '"acme/math" = { version = "^1.0.0", weight = 1e-30 }'
    text = installed.file.read_text().replace('"acme/math" = "^1.0.0"', requirement)
    installed.file.write_text(text)
    installed.ask("install")
    assert "changes no tensor" in installed.fail("graft", code=1, kind="graft")
    assert not (installed.project / "graft").exists()
    assert not list(installed.project.glob(".graft*"))


@pytest.fixture
def both(models: Models) -> Pair:
    return models.tuned("mlp", seed=3)


def test_weights_of_the_project_file_are_applied(world: World, math: Pair, both: Pair) -> None:
    base_root = world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(both, "acme/both", "1.0.0")
    world.ask("install", "acme/math", "acme/both")
    sum_root = world.graft_root()
    text = world.file.read_text()
    half = '{ version = "^1.0.0", weight = 0.5 }'
    world.file.write_text(text.replace('"acme/both" = "^1.0.0"', f'"acme/both" = {half}'))

    done = world.ask("install")

    assert [one["skill"] for one in done["changed"]] == ["acme/both"]
    assert "weight" in done["notes"][0]
    assert "weight = 0.5" in world.lock
    half_root = world.graft_root()
    assert len({base_root, sum_root, half_root, root_of(math[1]), root_of(both[1])}) == 5
    assert world.ask("rollback")["changed"] == done["changed"]
    assert world.file.read_text() == text
    assert world.graft_root() == sum_root


def test_install_refuses_a_weight_of_zero(world: World, math: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    world.file.write_text(
        world.file.read_text().replace('"^1.0.0"', '{ version = "^1.0.0", weight = 0.0 }')
    )
    assert "acme/math" in world.fail("install", code=4, kind="resolution")
    assert world.ask("list")["generation"] == 1


def test_install_refuses_to_scale_a_skill_that_adds_tensors(world: World, models: Models) -> None:
    pair = models.pair("head")
    world.init(pair[0])
    world.publish(pair, "acme/head", "1.0.0")
    requirement = '"acme/head" = { version = "*", weight = 0.5 }\n'
    world.file.write_text(world.file.read_text() + requirement)
    text = world.fail("install", code=4, kind="resolution")
    assert "cannot be scaled" in text
    assert "weight = 1" in text


def test_install_frozen_and_graft_refuse_a_weight_of_zero_in_the_lock(installed: World) -> None:
    requirement = '"acme/math" = "^1.0.0"'
    zero = '"acme/math" = { version = "^1.0.0", weight = 0.0 }'
    installed.file.write_text(installed.file.read_text().replace(requirement, zero))
    lock = installed.project / "skillpm.lock"
    lock.write_text(installed.lock.replace("weight = 1.0", "weight = 0.0"))
    installed.fail("install", "--frozen", code=4, kind="resolution")
    generation = installed.project / ".skillpm" / "generations" / "1.json"
    plain = json.loads(generation.read_text())
    plain["lock"] = plain["lock"].replace("weight = 1.0", "weight = 0.0")
    generation.write_text(json.dumps(plain))
    assert installed.run("graft", "--json").error["kind"] in {"graft", "resolution"}
    assert not (installed.project / "graft").exists()
