"""QuickXplain over a set: the minimal conflict set of a failure, and the number of trials."""

from itertools import combinations

import pytest

from skillpm.flows.guard.quickxplain import minimal_culprits
from skillpm.spec.names import SkillName

SKILLS = [SkillName.parse(f"acme/s{number:02}") for number in range(16)]


@pytest.mark.parametrize("pair", list(combinations(range(0, 16, 3), 2)), ids=str)
def test_minimal_culprits_names_two_skills_that_fail_only_together(pair: tuple[int, int]) -> None:
    guilty = {SKILLS[at] for at in pair}
    found = minimal_culprits(lambda s: guilty <= s, frozenset(), SKILLS)
    assert set(found) == guilty


@pytest.mark.parametrize("at", range(16))
def test_minimal_culprits_finds_one_of_sixteen_in_few_trials(at: int) -> None:
    trials = []

    def fails(skills: frozenset[SkillName]) -> bool:
        trials.append(skills)
        return SKILLS[at] in skills

    assert minimal_culprits(fails, frozenset(), SKILLS) == (SKILLS[at],)
    assert len(trials) <= 2 * 4 + 2


def test_minimal_culprits_needs_no_trial_for_one_candidate() -> None:
    def never(skills: frozenset[SkillName]) -> bool:
        raise AssertionError(skills)

    assert minimal_culprits(never, frozenset(SKILLS[1:]), SKILLS[:1]) == (SKILLS[0],)


def test_minimal_culprits_of_a_nonmonotonic_failure_is_a_failing_set_or_all() -> None:
    def fails(skills: frozenset[SkillName]) -> bool:
        return len(skills) in (1, 3)

    candidates = SKILLS[:4]
    found = minimal_culprits(fails, frozenset(), candidates)
    assert fails(frozenset(found)) or found == tuple(candidates)


def test_minimal_culprits_includes_the_context_in_every_trial() -> None:
    context = frozenset(SKILLS[8:])
    seen = []

    def fails(skills: frozenset[SkillName]) -> bool:
        seen.append(skills)
        return SKILLS[3] in skills

    assert minimal_culprits(fails, context, SKILLS[:8]) == (SKILLS[3],)
    assert all(context <= skills for skills in seen)
