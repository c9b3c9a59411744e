"""Weights of skills in the project file."""

import json
import shutil

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair

import skillpm


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


def test_install_weight_edits_the_project_file_in_place_and_makes_a_generation(
    installed: World,
) -> None:
    plain = installed.file.read_text().replace('"^1.0.0"', '"^1.0.0"  # sums')
    installed.file.write_text(plain)
    shutil.rmtree(installed.home / "registry")  # a weight needs no registry
    done = installed.ask("install", "acme/math", "--weight", "0.5")
    assert (done["generation"], [one["skill"] for one in done["changed"]]) == (2, ["acme/math"])
    weighed = '{version = "^1.0.0", weight = 0.5}'
    assert installed.file.read_text() == plain.replace('"^1.0.0"', weighed)
    assert "weight = 0.5" in installed.lock
    assert installed.ask("list")["notes"] == []
    assert installed.ask("lock", "--check")["fresh"]
    assert installed.ask("install", "acme/math", "--weight", "0.5")["generation"] == 2
    back = installed.run("install", "acme/math", "--weight", "1")
    assert "(weight 0.5 -> 1.0)" in back.out
    assert installed.file.read_text() == plain


def test_install_weight_of_new_skills_is_common_or_by_name(
    world: World, math: Pair, both: Pair
) -> None:
    world.init(math[0])
    file = world.pack(math, "acme/math", "1.0.0")
    world.publish(both, "acme/both", "1.0.0")
    given = ("--weight", "0.5", "--weight", "acme/both=0.25")
    world.ask("install", file, "acme/both", *given)
    listed = {one["skill"]: one["weight"] for one in world.ask("list")["skills"]}
    assert listed == {"acme/both": 0.25, "acme/math": 0.5}
    with skillpm.open_project(".") as project:
        change = project.install("acme/both", "acme/math", weight={"acme/both": 2.0})
        assert [(one.name, one.weight) for one in change.changed] == [("acme/both", 2.0)]
    world.ask("rollback")
    listed = {one["skill"]: one["weight"] for one in world.ask("list")["skills"]}
    assert listed == {"acme/both": 0.25, "acme/math": 0.5}


def test_install_weight_that_is_refused_changes_nothing(installed: World) -> None:
    before = snapshot(installed.project)
    for weight in ("half", "nan", "1e6"):
        installed.fail("install", "acme/math", "--weight", weight, code=2, kind="usage")
    said = installed.fail("install", "--weight", "0.5", code=2, kind="usage")
    assert "skillpm install acme/math --weight 0.5" in said
    installed.fail("install", "acme/math", "--weight", "acme/sql=1", code=2, kind="usage")
    installed.fail("install", "acme/math", "--weight", "0", code=4, kind="resolution")
    frozen = ("install", "acme/math", "--frozen", "--weight", "0.5")
    assert "the weights differ" in installed.fail(*frozen, code=1, kind="state")
    planned = installed.ask("install", "acme/math", "--weight", "0.5", "--dry-run")
    assert planned["dry_run"]
    assert snapshot(installed.project) == before
    (installed.folder / "plan.json").write_text(json.dumps(planned))
    assert installed.ask("apply", installed.folder / "plan.json")["generation"] == 2
    assert "weight = 0.5" in installed.file.read_text()


def test_install_weight_of_a_pack_that_cannot_be_scaled_is_a_conflict(
    world: World, models: Models
) -> None:
    grown = models.pair("grown")
    world.init(grown[0])
    pack, before = world.pack(grown, "acme/big", "1.0.0"), snapshot(world.project)
    said = world.fail("install", pack, "--weight", "0.5", code=4, kind="resolution")
    assert "cannot be scaled" in said
    assert snapshot(world.project) == before
    world.ask("install", pack)
    world.fail("install", "acme/big", "--weight", "0.5", code=4, kind="resolution")
    assert world.ask("list")["skills"][0]["weight"] == 1.0
