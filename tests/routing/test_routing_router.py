"""Decisions: right for distinct skills, the base for other texts, and of the set alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_worlds import BASE, WIDTH, cloud, name, router_of, signature
from thoroughness import examples

from skillpm.errors import IntegrityError
from skillpm.routing.fitting import REJECTED
from skillpm.routing.signature import Signature

SIX = {name(f"skill-{seed}"): signature(seed) for seed in range(6)}


def test_text_goes_to_the_skill_with_similar_examples() -> None:
    router = router_of(SIX)
    right = [
        one.skill == name(f"skill-{seed}")
        for seed in range(6)
        for one in router.decide(cloud(seed, 200))
    ]
    assert np.mean(right) > 0.93


@pytest.mark.parametrize("count", [1, 2, 6])
def test_text_similar_to_no_skill_goes_to_the_base(count: int) -> None:
    router = router_of(dict(list(SIX.items())[:count]))
    strange = np.concatenate([cloud(seed, 10) for seed in range(100, 110)])
    found = [one.skill for one in router.decide(strange)]
    assert found.count(None) >= 98


@pytest.mark.parametrize("examples", [16, 128])
def test_few_texts_of_a_skill_go_to_the_base(examples: int) -> None:
    rejected = [
        one.skill is None
        for seed in range(10)
        for one in router_of({name("a"): signature(seed, examples)}).decide(cloud(seed, 400))
    ]
    assert np.mean(rejected) < 2 * max(REJECTED, 1 / (examples + 1))


def test_router_without_candidates_returns_the_base() -> None:
    (found,) = router_of({}).decide(np.zeros((1, WIDTH)))
    assert (found.skill, found.score, dict(found.scores)) == (None, None, {})
    assert "no installed skill" in found.reason


def test_decision_has_the_best_skill_and_the_runner_up() -> None:
    (near,) = router_of(SIX).decide(cloud(2, 1))
    assert near.skill == near.best == name("skill-2")
    assert near.runner_up in SIX
    assert near.score == max(near.scores.values()) >= 0
    assert "is like its examples" in near.reason
    (far,) = router_of(SIX).decide(cloud(200, 1))
    assert far.skill is None
    assert far.score is not None
    assert far.score < 0
    assert "the base answers" in far.reason


@settings(max_examples=examples(15))
@given(order=st.permutations(range(6)), size=st.integers(1, 5))
def test_adding_and_removing_a_skill_restores_every_decision(order: list[int], size: int) -> None:
    names = [name(f"skill-{place}") for place in order]
    texts = np.concatenate([cloud(seed, 3) for seed in (0, 3, 5, 300)])
    installed = {skill: SIX[skill] for skill in names[:size]}
    before = router_of(installed).decide(texts)
    installed[names[size]] = SIX[names[size]]
    assert router_of(installed).skills == tuple(sorted(installed))
    del installed[names[size]]
    assert router_of(installed).decide(texts) == before
    assert router_of(dict(reversed(installed.items()))).decide(texts) == before


def test_added_skill_takes_few_texts_from_the_others() -> None:
    five = {skill: one for skill, one in SIX.items() if skill != name("skill-5")}
    texts = np.concatenate([cloud(seed, 20) for seed in range(5)])
    before = [one.skill for one in router_of(five).decide(texts)]
    after = [one.skill for one in router_of(SIX).decide(texts)]
    assert sum(a == b for a, b in zip(before, after, strict=True)) >= 97


@pytest.mark.parametrize("first", ["a", "z"])
def test_signature_of_another_width_is_refused_by_name(first: str) -> None:
    other = Signature(BASE, np.ones((9, 3)), np.ones((0, 3)))
    with pytest.raises(
        IntegrityError, match=f"`acme/{first}` has 3 features per text, expected 12"
    ):
        router_of({name("b"): signature(0), name(first): other})
