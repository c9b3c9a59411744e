"""Hostile router signatures: each is refused, or does not affect the other skills."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from benchmarks.routing.hostile import ATTACKS, Scene
from skillpm.errors import IntegrityError
from skillpm.routing.router import Router
from skillpm.routing.signature import Signature, parse_signature
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName

BASE, WIDTH, SKILLS = Digest.of(b"base"), 96, 10
HOSTILE = SkillName.parse("aaa/hostile")
MOST_LOST = 0.02


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def texts(chance: Any, centre: Any, count: int) -> Any:
    """Texts around a centre, nearly as far from it as the centres are from each other."""
    return unit(centre + 0.8 * chance.standard_normal((count, WIDTH)) / np.sqrt(WIDTH))


@pytest.fixture(scope="module")
def world() -> Mapping[str, Any]:
    """Ten skills of 32 examples and 100 queries, and general text."""
    chance = np.random.default_rng(16)
    common = unit(chance.standard_normal(WIDTH))
    centres = unit(common + 0.9 * unit(chance.standard_normal((SKILLS + 1, WIDTH))))
    skills = [texts(chance, centre, 32) for centre in centres]
    return {
        "scene": Scene(skills[:-1], texts(chance, common, 128), skills[-1], chance),
        "queries": [texts(chance, centre, 100) for centre in centres[:-1]],
        "general": texts(chance, common, 200),
    }


def signature(examples: Any, background: Any) -> Signature:
    data = Signature(BASE, examples, background, "file").dumps()
    return parse_signature(data, BASE, "it")


def routed(world: Mapping[str, Any], hostile: Signature | None) -> tuple[float, float]:
    """The shares of right answers and of general text routed to the base, with a pack installed."""
    scene = world["scene"]
    names = [SkillName.parse(f"acme/skill-{place}") for place in range(SKILLS)]
    known = {
        skill: signature(rows, scene.general)
        for skill, rows in zip(names, scene.skills, strict=True)
    }
    router = Router.of(known | ({HOSTILE: hostile} if hostile else {}), WIDTH, names)
    right = [
        decision.skill == skill
        for skill, queries in zip(names, world["queries"], strict=True)
        for decision in router.decide(queries)
    ]
    kept = [decision.skill is None for decision in router.decide(world["general"])]
    return float(np.mean(right)), float(np.mean(kept))


@pytest.fixture(scope="module")
def before(world: Mapping[str, Any]) -> tuple[float, float]:
    return routed(world, None)


def test_router_without_a_hostile_pack_finds_the_skills(
    before: tuple[float, float],
) -> None:
    assert before[0] > 0.8
    assert before[1] > 0.9


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_hostile_signature_costs_at_most_two_percent_of_right_answers(
    attack: str, world: Mapping[str, Any], before: tuple[float, float]
) -> None:
    after = routed(world, signature(*ATTACKS[attack](world["scene"])))
    assert after[0] >= before[0] - MOST_LOST


@pytest.mark.parametrize("attack", sorted(name for name in ATTACKS if "background" in name))
def test_hostile_background_sends_no_general_text_to_a_skill(
    attack: str, world: Mapping[str, Any], before: tuple[float, float]
) -> None:
    after = routed(world, signature(*ATTACKS[attack](world["scene"])))
    assert after[1] >= before[1] - 0.1


@pytest.mark.parametrize("factor", [1.9, 1.1, 0.9, 0.5, 1e-7, 0.0, -1.5, np.inf, np.nan])
@pytest.mark.parametrize("part", ["examples", "background"])
def test_rows_without_unit_length_are_refused(
    part: str, factor: float, world: Mapping[str, Any]
) -> None:
    scene = world["scene"]
    scaled = (scene.own * factor).astype(np.float16).astype(np.float64)
    parts = {"examples": scene.own, "background": scene.general, part: scaled}
    with pytest.raises(IntegrityError, match=r"should have length 1|not finite"):
        signature(parts["examples"], parts["background"])


def test_single_row_without_unit_length_is_refused(world: Mapping[str, Any]) -> None:
    rows = world["scene"].own.copy()
    rows[7] *= 1.01
    with pytest.raises(IntegrityError, match=r"row of length 1\.01"):
        signature(rows, world["scene"].general)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_repeated_examples_do_not_gain_weight(times: int, world: Mapping[str, Any]) -> None:
    """The same examples, once or often, take equally many texts of others: a few of 100."""
    scene = world["scene"]
    once = signature(scene.own, scene.general)
    often = signature(np.tile(scene.own, (times, 1)), scene.general)
    first = SkillName.parse("acme/first")
    found = [
        Router.of({HOSTILE: one, first: signature(scene.victim, scene.general)}, WIDTH)
        for one in (once, often)
    ]
    won = [
        sum(one.skill == HOSTILE for one in router.decide(world["queries"][0])) for router in found
    ]
    assert won[1] <= won[0] <= 5


def test_only_near_equal_skills_are_named(world: Mapping[str, Any]) -> None:
    scene = world["scene"]
    names = [SkillName.parse(f"acme/skill-{place}") for place in range(SKILLS)]
    known = {
        skill: signature(rows, scene.general)
        for skill, rows in zip(names, scene.skills, strict=True)
    }
    assert Router.of(known, WIDTH).near == ()
    copy = signature(np.tile(scene.victim, (4, 1)), scene.general)
    (pair,) = Router.of(known | {HOSTILE: copy}, WIDTH).near
    assert pair.skills == (HOSTILE, names[0])
    assert pair.overlap > 1


@pytest.mark.parametrize("first", [0, 1])
def test_first_in_precedence_wins_among_near_equal_skills(
    first: int, world: Mapping[str, Any]
) -> None:
    scene = world["scene"]
    pair = (SkillName.parse("zzz/victim"), HOSTILE)
    known = {
        pair[0]: signature(scene.victim, scene.general),
        pair[1]: signature(np.tile(scene.victim, (4, 1)), scene.general),
        SkillName.parse("acme/other"): signature(scene.own, scene.general),
    }
    router = Router.of(known, WIDTH, [pair[first]])
    found = [one.skill for one in router.decide(world["queries"][0])]
    assert pair[1 - first] not in found
    assert found.count(pair[first]) > 60
