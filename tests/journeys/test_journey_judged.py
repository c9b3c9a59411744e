"""Probes that are generated and judged: `pack --probes`, `probe` and `--guard` use them."""

import json
from pathlib import Path
from typing import Any

import pytest
from skillpm_world import World, snapshot
from tiny_learners import MATH, Learners, write_probes
from tiny_models import copy_model

PROBES: tuple[dict[str, Any], ...] = tuple(
    {"prompt": f"{line}{line[:4]}", "check": {"number": int(line[4])}, "max_tokens": 1}
    for line in MATH
)


@pytest.fixture
def math_pack(world: World, learners: Learners) -> Path:
    probes = write_probes(world.folder / "judged.jsonl", PROBES)
    return learners.pack(world, "math", "--probes", probes)


def test_pack_records_and_probe_measures_the_share_that_passes(
    world: World, learners: Learners, math_pack: Path
) -> None:
    (capability,) = world.ask("inspect", math_pack)["manifest"]["capabilities"]
    assert capability["metric"] == "judged"
    assert (capability["value"], capability["base_value"], capability["samples"]) == (1.0, 0.0, 5)
    world.ask("verify", math_pack)
    world.init(learners.base)
    world.ask("install", math_pack, "--guard")
    (result,) = world.ask("probe")["results"]
    assert (result["metric"], result["now"], result["passed"]) == ("judged", 1.0, True)


def test_guard_refuses_a_change_after_which_answers_fail_their_checks(
    world: World, learners: Learners, math_pack: Path
) -> None:
    world.init(learners.base)
    world.ask("install", math_pack)
    before = snapshot(world.project)
    said = world.fail("install", learners.pack(world, "noise"), "--guard", code=1, kind="graft")
    assert "`acme/math` judged: recorded 1" in said
    assert "culprit: `acme/noise 1.0.0`" in said
    assert snapshot(world.project) == before


def test_pack_refuses_probes_that_run_programs(world: World, learners: Learners) -> None:
    probes = write_probes(
        world.folder / "bad.jsonl", [{"prompt": "1+2", "check": {"python": "assert True"}}]
    )
    said = world.fail(
        "pack", *learners.math, "--name", "a/b", "--version", "1.0.0", "--probes", probes,
        code=1, kind="spec",
    )  # fmt: skip
    assert "line 1: check: checks of the kind python never travel in a pack" in said


def test_chat_template_of_a_pack_applies_to_its_answers(world: World, learners: Learners) -> None:
    base, tuned = learners.math
    template = "{{ messages[-1]['content'] }}="
    folder = copy_model(tuned, world.folder / "tuned")
    (folder / "chat_template.jinja").write_text(template)
    items = [
        {"prompt": f"{line}{line[:3]}", "check": {"number": int(line[4])}, "max_tokens": 1}
        for line in MATH
    ]
    probes = write_probes(world.folder / "chat.jsonl", items)
    pack = world.pack((base, folder), "acme/chat", "1.0.0", "--probes", probes)
    (capability,) = world.ask("inspect", pack)["manifest"]["capabilities"]
    assert capability["value"] == 1.0
    world.init(base)
    world.ask("install", pack, "--guard")
    assert json.dumps(world.ask("probe")["results"]).count('"passed": true') == 1
