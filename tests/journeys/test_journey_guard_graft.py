"""`--guard` stops everything that `graft` would refuse, with and without probes."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from skillpm_world import World, snapshot
from tiny_learners import MATH_PROBES, Learners, write_probes
from tiny_models import copy_model, rewrite


def shifted(world: World, learners: Learners, name: str, step: float, *more: object) -> Path:
    """A pack of the base with one norm changed by a step."""
    tuned = copy_model(learners.base, world.folder / name)
    rewrite(tuned, lambda tensors: tensors["model.norm.weight"].add_(step))
    return world.pack((learners.base, tuned), f"acme/{name}", "1.0.0", *more)


@pytest.mark.parametrize("probed", [True, False])
def test_install_guard_refuses_skills_that_cancel_each_other(
    world: World, learners: Learners, *, probed: bool
) -> None:
    probes = ("--probes", write_probes(world.folder / "math.jsonl", MATH_PROBES)) if probed else ()
    world.init(learners.base)
    world.ask("install", shifted(world, learners, "more", 2**-12, *probes), "--guard")
    less = shifted(world, learners, "less", -(2**-12))
    before = snapshot(world.project)
    assert "changes no tensor" in world.fail("install", less, "--guard", code=1, kind="graft")
    assert snapshot(world.project) == before


@pytest.fixture
def compensated(world: World, learners: Learners) -> None:
    """A set in which `acme/math` passes only because one skill reverts the change of another."""
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    base, noisy = (load_file(one / "model.safetensors") for one in learners.noise)
    tuned = copy_model(learners.base, world.folder / "anti")
    rewrite(
        tuned, lambda tensors: tensors.update({n: 2 * base[n] - noisy[n] for n in list(tensors)})
    )
    math = learners.pack(world, "math", "--probes", probes)
    anti = world.pack((learners.base, tuned), "acme/anti", "1.0.0")
    world.init(learners.base)
    world.ask("install", math, learners.pack(world, "noise"), anti, learners.pack(world, "gentle"))
    assert world.ask("probe")["passed"]


@pytest.mark.usefixtures("compensated")
def test_guard_names_a_harmful_removal_as_the_culprit(world: World) -> None:
    plan = world.folder / "plan.json"
    outcome = world.run("uninstall", "acme/anti", "acme/gentle", "--dry-run", "--json")
    plan.write_text(outcome.out)
    before = snapshot(world.project)
    said = world.fail("apply", plan, "--guard", code=1, kind="graft")
    removal = "the removal of `acme/anti 1.0.0`; with that release, the probes of `acme/math` pass"
    assert [line for line in said.splitlines() if "culprit" in line] == [f"    culprit: {removal}"]
    assert said.endswith("\nkeep `acme/anti 1.0.0`; all probes then pass")
    assert snapshot(world.project) == before


@pytest.mark.usefixtures("compensated")
def test_upgrade_guard_refuses_a_release_that_no_longer_compensates(
    world: World, learners: Learners
) -> None:
    world.publish(learners.gentle, "acme/anti", "1.1.0")
    said = world.fail("upgrade", "acme/anti", "--guard", code=1, kind="graft")
    assert "culprit: the removal of `acme/anti 1.0.0`; with that release, the probes of" in said


@pytest.mark.usefixtures("compensated")
def test_guard_ignores_a_probe_that_fails_with_and_without_the_removal(world: World) -> None:
    world.ask("uninstall", "acme/anti")
    plan = world.folder / "plan.json"
    plan.write_text(world.run("uninstall", "acme/gentle", "--dry-run", "--json").out)
    notes = world.ask("apply", plan, "--guard")["notes"]
    assert any("fails without this change too, and is ignored: `acme/math`" in n for n in notes)
