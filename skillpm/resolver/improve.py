"""Trades that make an answer less stale as a whole.

Settling skill by skill never makes an earlier skill older for the sake of a later one, even where
one step back of a single skill would let ten others move forward. This pass looks for such trades
by local search: it asks for one stale skill to be newer, searches again, and keeps the result where
the total staleness falls. Its bounds are counts, never seconds, so that an answer does not depend
on the speed of the machine.
"""

from collections.abc import Iterator, Mapping

from skillpm.resolver.errors import GaveUpError
from skillpm.resolver.patience import Deadline
from skillpm.resolver.rules import BaseSlot, Rules
from skillpm.resolver.search import Answer, Proof, bounded_search
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release

TRIALS = 16
DECISIONS = 96
"""Trials in one pass, and releases chosen in all of them together: larger answers get fewer."""
_ROUNDS = (100, 4)
"""Rounds of the search that one trial may take: a constant, and for each skill of the answer."""


Staleness = tuple[int, int]


def staleness(rules: Rules, answer: Answer) -> Staleness:
    """How many newer usable releases there are: of what is asked for by name, and of all skills.

    The sums of both, so that answers compare by the skills asked for first. A skill that stays
    at its locked release is not stale, however old that is.
    """
    counts = {skill: _newer(rules, release).bit_count() for skill, release in answer.items()}
    return sum(n for skill, n in counts.items() if skill in rules.wanted), sum(counts.values())


def improve(rules: Rules, answer: Answer, deadline: Deadline) -> Answer:
    """An answer whose staleness is at most that of `answer`, found within fixed bounds.

    What is locked and what is to move stays as it is.
    """
    tried: set[tuple[SkillName, int]] = set()
    trials = min(TRIALS, DECISIONS // max(1, len(answer)))
    best = staleness(rules, answer)
    while trials and best[1] and (stale := _stalest(rules, answer, tried)):
        tried.add((stale, rules.position(answer[stale])))
        trials -= 1
        try:
            found = _trial(rules, answer, stale, best, deadline)
        except GaveUpError:
            return answer
        if found is not None and (total := staleness(rules, found)) < best:
            answer, best = found, total
    return answer


def _trial(
    rules: Rules, answer: Answer, stale: SkillName, best: Staleness, deadline: Deadline
) -> Answer | None:
    """The first answer with `stale` newer and all that must stay in position; None without one."""
    usable = dict(_promising(rules, best))
    usable |= {skill: 1 << rules.position(answer[skill]) for skill in _kept(rules, answer)}
    usable[stale] = _newer(rules, answer[stale]) & usable.get(stale, -1)
    narrowed = rules.restricted(usable)
    if not usable[stale] or _is_hopeless(narrowed):
        return None
    constant, each = _ROUNDS
    rounds = constant + each * len(answer)
    found = bounded_search(narrowed, deadline, rounds=rounds)
    return None if found is None or isinstance(found, Proof) else found


def _promising(rules: Rules, best: Staleness) -> Iterator[tuple[SkillName, int]]:
    """What each skill may be at in an answer that is less stale than `best`.

    No skill of such an answer is staler than the whole answer may be. So a trial that cannot
    succeed ends early, and none that can is lost. Skills that may be at all their releases are
    left out.
    """
    named, total = best
    for skill, release_set in rules.release_sets.items():
        if skill in rules.wanted:
            yield skill, release_set.newest(named + 1) | release_set.locked
        elif not named:
            yield skill, release_set.newest(total) | release_set.locked


def _is_hopeless(rules: Rules) -> bool:
    """Whether what the question asks for, and what follows of necessity, leaves a skill nothing.

    Only skills with one release left are followed: a search that fails costs far more than this.
    """
    left = {skill: rules.release_sets[skill].usable for skill in rules.wanted}
    for wanted in rules.question.wanted:
        left[wanted.requirement.skill] &= rules.asked(wanted.requirement).bits
    pending = list(left)
    while pending:
        skill = pending.pop()
        bits = left[skill]
        if not bits:
            return True
        if bits & (bits - 1):
            continue
        for needed, positions in rules.needs(skill, bits.bit_length() - 1).items():
            if isinstance(needed, BaseSlot):
                continue
            before = left.get(needed)
            after = positions.bits & (
                rules.release_sets[needed].usable if before is None else before
            )
            if after != before:
                left[needed] = after
                pending.append(needed)
    return False


def _kept(rules: Rules, answer: Answer) -> Iterator[SkillName]:
    return (skill for skill in answer if rules.is_fixed(skill))


def _stalest(
    rules: Rules, answer: Mapping[SkillName, Release], tried: set[tuple[SkillName, int]]
) -> SkillName | None:
    """The skill with most newer releases that may move and was not tried where it is."""
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
