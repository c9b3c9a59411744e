"""Properties of resolution, checked on small random indexes."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from resolver_worlds import Oracle, Shop, problems, random_world
from thoroughness import examples

from skillpm.errors import ResolutionError, SkillpmError
from skillpm.resolver.closure import Reader
from skillpm.resolver.deadline import NO_DEADLINE
from skillpm.resolver.improve import improve, staleness
from skillpm.resolver.question import Question, RootRequirement
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Proof, search
from skillpm.resolver.solve import solve
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement

World = tuple[Question, list[Release]]
lawful = settings(max_examples=examples(200))


def worlds() -> st.SearchStrategy[World]:
    return st.builds(random_world, st.integers(0, 2**32), skills=st.integers(2, 6))


def outcome(question: Question, releases: list[Release]) -> Any:
    try:
        return solve(question, Shop(releases)).releases
    except SkillpmError as problem:
        return (type(problem), problem.message, problem.hint)


def settled(question: Question, releases: list[Release]) -> Any:
    """The answer before `improve`; None if there is no solution."""
    rules = Rules(question, Reader(question, Shop(releases), NO_DEADLINE).read())
    found = search(rules, NO_DEADLINE)
    return None if isinstance(found, Proof) else found


@lawful
@given(worlds())
def test_answer_is_valid_and_exists_exactly_if_a_sat_solver_finds_one(
    world: World,
) -> None:
    found = outcome(*world)
    if isinstance(found, tuple):
        assert not Oracle(*world).satisfiable()
    else:
        assert list(problems(*world, found)) == []


@lawful
@given(worlds())
def test_skills_are_decided_in_the_documented_order(world: World) -> None:
    assume(not isinstance(outcome(*world), tuple))
    assert settled(*world) == Oracle(*world).first_answer()


@lawful
@given(worlds())
def test_improve_makes_no_answer_staler_and_keeps_locked_skills(world: World) -> None:
    question, releases = replace(world[0], lowest=False), world[1]
    assume(not isinstance(outcome(question, releases), tuple))
    rules = Rules(question, Reader(question, Shop(releases), NO_DEADLINE).read())
    before = search(rules, NO_DEADLINE)
    assert not isinstance(before, Proof)
    after = improve(rules, before, NO_DEADLINE)
    assert staleness(rules, after) <= staleness(rules, before)
    locked = before.keys() & question.locked.keys()
    assert {name: after.get(name) for name in locked} == {name: before[name] for name in locked}


@lawful
@given(worlds(), st.randoms(use_true_random=False))
def test_order_of_requirements_and_releases_does_not_matter(
    world: World, order: random.Random
) -> None:
    question, releases = world
    expected = outcome(question, releases)
    wanted = list(question.wanted)
    locked = list(question.locked.items())
    for items in (wanted, releases, locked):
        order.shuffle(items)
    shuffled = replace(question, wanted=tuple(wanted), locked=dict(locked))
    assert outcome(shuffled, releases) == expected


@lawful
@given(worlds(), st.data())
def test_removing_an_unused_release_changes_nothing(world: World, data: st.DataObject) -> None:
    question, releases = world
    found = outcome(question, releases)
    assume(not isinstance(found, tuple))
    unused = [r for r in releases if found.get(r.skill) != r]
    assume(unused)
    gone = data.draw(st.sampled_from(unused))
    assert outcome(question, [r for r in releases if r != gone]) == found


@lawful
@given(worlds())
def test_resolving_with_the_answer_locked_gives_the_same_answer(world: World) -> None:
    question, releases = world
    found = outcome(question, releases)
    assume(not isinstance(found, tuple))
    locked = replace(question, locked={name: r.version for name, r in found.items()})
    assert outcome(locked, releases) == found


@lawful
@given(worlds(), st.data())
def test_locked_release_is_kept_if_a_newer_one_appears(world: World, data: st.DataObject) -> None:
    question, releases = world
    found = outcome(question, releases)
    assume(not isinstance(found, tuple) and found)
    locked = replace(question, locked={name: r.version for name, r in found.items()})
    old = data.draw(st.sampled_from(sorted(found.values(), key=lambda r: r.skill)))
    newer = replace(old, version=type(old.version).of(9, 0, 0), digest=None)
    assert outcome(locked, [*releases, newer]) == found


@lawful
@given(worlds())
def test_yanking_a_locked_release_changes_nothing(world: World) -> None:
    question, releases = world
    found = outcome(question, releases)
    assume(not isinstance(found, tuple))
    locked = replace(question, locked={name: r.version for name, r in found.items()})
    yanked = [replace(r, yanked=r.yanked or found.get(r.skill) == r) for r in releases]
    again = outcome(locked, yanked)
    assert {n: r.version for n, r in again.items()} == {n: r.version for n, r in found.items()}


@lawful
@given(worlds())
def test_explanation_has_at_most_13_lines(world: World) -> None:
    question, releases = world
    try:
        solve(question, Shop(releases))
    except ResolutionError as problem:
        first, *reasons = problem.message.splitlines()
        assert first == "no set of releases satisfies the requirements:"
        assert 1 <= len(reasons) <= 13
        assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("skills", [3, 5, 8])
def test_random_graphs_resolve_to_the_releases_that_a_sat_solver_finds(skills: int) -> None:
    answers = 0
    for seed in range(200):
        world = random_world(seed, skills=skills)
        expected = Oracle(*world).first_answer()
        assert expected is None or settled(*world) == expected, seed
        assert isinstance(outcome(*world), tuple) == (expected is None), seed
        answers += expected is not None
    assert 40 < answers < 160


def test_long_searches_with_limited_backjumps_match_the_sat_solver() -> None:
    letters = random.Random(3)
    answers = 0
    for seed in range(60):
        question, releases = random_world(seed, skills=26)
        known = sorted({r.skill for r in releases})
        many = [
            RootRequirement(Requirement(name), "the test") for name in letters.sample(known, 18)
        ]
        tame = [replace(r, base=None, conflicts=r.conflicts[:1]) for r in releases]
        world = (replace(question, wanted=tuple(many)), tame)
        expected = Oracle(*world).first_answer()
        assert expected is None or settled(*world) == expected, seed
        assert isinstance(outcome(*world), tuple) == (expected is None), seed
        answers += expected is not None
    assert 5 < answers < 55
