"""`graft --tune`: a search for weights by probes, a proposal, and a new generation with `--yes`."""

import json

import pytest
from skillpm_world import World, snapshot
from tiny_learners import MATH_PROBES, Learners, write_probes


@pytest.fixture
def hurt(world: World, learners: Learners) -> None:
    """A project in which one skill hurts another, but would not at a lower weight."""
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    world.init(learners.base)
    world.ask(
        "install",
        learners.pack(world, "math", "--probes", probes),
        learners.pack(world, "slight"),
    )


@pytest.mark.usefixtures("hurt")
def test_graft_tune_proposes_weights_and_changes_nothing_without_yes(world: World) -> None:
    before = snapshot(world.project)
    found = world.ask("graft", "--tune", "--budget", "8")
    assert found["kept"]["after"] > found["kept"]["before"]
    assert found["weights"]["acme/slight"] < 1
    assert found["trials"] <= 8
    assert found["generation"] is None
    assert snapshot(world.project) == before
    assert world.ask("graft", "--tune", "--budget", "8") == found


@pytest.mark.usefixtures("hurt")
def test_graft_tune_yes_makes_a_generation_that_rolls_back(world: World) -> None:
    world.ask("probe", code=1)
    found = world.ask("graft", "--tune", "--budget", "8", "--yes")
    assert found["generation"] == 2
    listed = {one["skill"]: one["weight"] for one in world.ask("list")["skills"]}
    assert listed == found["weights"]
    assert world.ask("list")["notes"] == []
    assert world.ask("lock", "--check")["fresh"]
    assert world.ask("probe")["passed"]
    assert world.ask("rollback")["generation"] == 3
    assert {one["weight"] for one in world.ask("list")["skills"]} == {1.0}


def test_graft_tune_with_a_budget_of_one_trial_changes_nothing(world: World, hurt: None) -> None:
    found = world.ask("graft", "--tune", "--budget", "1", "--yes")
    assert (found["trials"], found["generation"]) == (1, None)


def test_graft_tune_without_probes_fails(world: World, learners: Learners) -> None:
    world.init(learners.base)
    world.fail("graft", "--tune", code=1, kind="not_found")
    world.ask("install", learners.pack(world, "slight"))
    assert "no installed skill has probes" in world.fail("graft", "--tune", code=1, kind="graft")


@pytest.mark.usefixtures("hurt")
def test_graft_tune_refuses_a_routed_project(world: World) -> None:
    world.file.write_text(world.file.read_text() + '\n[graft]\nmode = "routed"\n')
    world.fail("graft", "--tune", "--only", "acme/math", code=2, kind="usage")
    world.ask("install")
    assert "routed" in world.fail("graft", "--tune", code=1, kind="graft")


@pytest.mark.usefixtures("hurt")
def test_graft_tune_uses_the_merge_method_of_the_project(world: World) -> None:
    text, kept = world.file.read_text(), {}
    for method in ("sum", "ties", "dare", "pcb", "sce"):
        world.file.write_text(f'{text}\n[graft]\nmethod = "{method}"\n')
        world.ask("install")
        probed = json.loads(world.run("probe", "--json").out)["results"]
        shares = [
            min(1.0, (one["now"] - one["base"]) / (one["recorded"] - one["base"])) for one in probed
        ]
        kept[method] = world.ask("graft", "--tune", "--budget", "1")["kept"]["before"]
        assert kept[method] == pytest.approx(min(shares), abs=1e-4)
    assert len({kept[method] for method in ("sum", "ties", "dare")}) == 3
