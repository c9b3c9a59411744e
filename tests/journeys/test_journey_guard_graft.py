"""`--guard` and the graft: what `graft` would refuse is stopped before, probes or none."""

from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_learners import MATH_PROBES, Learners, write_probes
from tiny_models import copy_model, rewrite


def shifted(world: World, learners: Learners, name: str, step: float, *more: object) -> Path:
    """A pack of the base with one norm moved by a step."""
    tuned = copy_model(learners.base, world.folder / name)
    rewrite(tuned, lambda tensors: tensors["model.norm.weight"].add_(step))
    return world.pack((learners.base, tuned), f"acme/{name}", "1.0.0", *more)


@pytest.mark.parametrize("probed", [True, False])
def test_skills_that_undo_each_other_do_not_pass_the_guard(
    world: World, learners: Learners, *, probed: bool
) -> None:
    probes = ("--probes", write_probes(world.folder / "math.jsonl", MATH_PROBES)) if probed else ()
    world.init(learners.base)
    world.ask("install", shifted(world, learners, "more", 2**-12, *probes), "--guard")
    less = shifted(world, learners, "less", -(2**-12))
    before = snapshot(world.project)
    assert "changes no tensor" in world.fail("install", less, "--guard", code=1, kind="graft")
    assert snapshot(world.project) == before
