"""Makes an answer fresher as a whole, by local search.

The search decides skill by skill and never chooses an older release of one skill to allow newer
releases of later ones, even if one step back would let ten other skills advance. This pass looks
for such trades: it requires a newer release of one stale skill, searches again, and keeps the
result if the total staleness is lower. The limits are counts, not seconds, so that the answer does
not depend on the speed of the machine.
"""

from collections.abc import Iterator, Mapping

from skillpm.resolver.deadline import Deadline
from skillpm.resolver.errors import GaveUpError
from skillpm.resolver.rules import BaseSlot, Rules
from skillpm.resolver.search import Answer, Proof, bounded_search
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release

TRIALS = 16
DECISIONS = 96
"""Limits of one pass: trials, and decisions of all trials together. Large answers get fewer."""
_ROUNDS = (100, 4)
"""Rounds of the search in one trial: a constant, and an amount per skill of the answer."""


Staleness = tuple[int, int]


def staleness(rules: Rules, answer: Answer) -> Staleness:
    """The number of newer usable releases: for directly required skills, and for all skills.

    As a pair, so that directly required skills count first when answers are compared. A skill at
    its locked release is not stale.
    """
    counts = {skill: _newer(rules, release).bit_count() for skill, release in answer.items()}
    return sum(n for skill, n in counts.items() if skill in rules.wanted), sum(counts.values())


def improve(rules: Rules, answer: Answer, deadline: Deadline) -> Answer:
    """An answer that is at most as stale as `answer`.

    Locked skills and skills to upgrade keep their releases. Returns the best answer so far when
    the deadline passes.
    """
    tried: set[tuple[SkillName, int]] = set()
    trials = min(TRIALS, DECISIONS // max(1, len(answer)))
    best = staleness(rules, answer)
    while trials and best[1] and (stale := _stalest(rules, answer, tried)):
        tried.add((stale, rules.position(answer[stale])))
        trials -= 1
        try:
            result = _trial(rules, answer, stale, best, deadline)
        except GaveUpError:
            return answer
        if result is not None and (total := staleness(rules, result)) < best:
            answer, best = result, total
    return answer


def _trial(
    rules: Rules, answer: Answer, stale: SkillName, best: Staleness, deadline: Deadline
) -> Answer | None:
    """An answer with a newer release of `stale` and all fixed skills unchanged; None if none."""
    usable = dict(_promising(rules, best))
    usable |= {skill: 1 << rules.position(answer[skill]) for skill in _fixed(rules, answer)}
    usable[stale] = _newer(rules, answer[stale]) & usable.get(stale, -1)
    narrowed = rules.restricted(usable)
    if not usable[stale] or _is_hopeless(narrowed):
        return None
    constant, per_skill = _ROUNDS
    rounds = constant + per_skill * len(answer)
    result = bounded_search(narrowed, deadline, rounds=rounds)
    return None if result is None or isinstance(result, Proof) else result


def _promising(rules: Rules, best: Staleness) -> Iterator[tuple[SkillName, int]]:
    """The releases that a skill can have in an answer less stale than `best`, by skill.

    A single skill of such an answer cannot be staler than the whole answer. The restriction ends
    hopeless trials early and excludes no better answer. Unrestricted skills are left out.
    """
    named, total = best
    for skill, release_set in rules.release_sets.items():
        if skill in rules.wanted:
            yield skill, release_set.newest(named + 1) | release_set.locked
        elif not named:
            yield skill, release_set.newest(total) | release_set.locked


def _is_hopeless(rules: Rules) -> bool:
    """Whether unit propagation of the root requirements leaves a skill without a release.

    Only skills with a single release left are propagated. This is much cheaper than a failing
    search.
    """
    allowed = {skill: rules.release_sets[skill].usable for skill in rules.wanted}
    for wanted in rules.question.wanted:
        allowed[wanted.requirement.skill] &= rules.matching(wanted.requirement).bits
    pending = list(allowed)
    while pending:
        skill = pending.pop()
        bits = allowed[skill]
        if not bits:
            return True
        if bits & (bits - 1):
            continue
        for needed, positions in rules.dependencies(skill, bits.bit_length() - 1).items():
            if isinstance(needed, BaseSlot):
                continue
            before = allowed.get(needed)
            after = positions.bits & (
                rules.release_sets[needed].usable if before is None else before
            )
            if after != before:
                allowed[needed] = after
                pending.append(needed)
    return False


def _fixed(rules: Rules, answer: Answer) -> Iterator[SkillName]:
    return (skill for skill in answer if rules.is_fixed(skill))


def _stalest(
    rules: Rules, answer: Mapping[SkillName, Release], tried: set[tuple[SkillName, int]]
) -> SkillName | None:
    """The movable skill with the most newer releases that was not yet tried at its release."""
    candidates = [
        (-_newer(rules, release).bit_count(), rules.rank(skill), skill)
        for skill, release in answer.items()
        if _newer(rules, release) and (skill, rules.position(release)) not in tried
        and not rules.is_fixed(skill)
    ]  # fmt: skip
    return min(candidates)[2] if candidates else None


def _newer(rules: Rules, release: Release) -> int:
    release_set, position = rules.release_sets[release.skill], rules.position(release)
    return (
        0
        if release_set.locked >> position & 1
        else release_set.usable >> (position + 1) << (position + 1)
    )
