"""Find the culprits of each failing skill of a planned set.

For each failing skill: does it fail alone, with the unchanged skills, or because of a removed
release? Otherwise QuickXplain searches the changed skills (ADR 17).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from skillpm.flows.evaluate.carried import ProbeResult
from skillpm.flows.evaluate.measured import skills_below
from skillpm.flows.evaluate.trials import Trials, remaining
from skillpm.flows.guard.quickxplain import minimal_culprits
from skillpm.flows.guard.removals import RemovedReleases
from skillpm.flows.guard.report import ProbeFailure
from skillpm.flows.locking.lock_check import reachable
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName


@dataclass(frozen=True)
class FailedPlan:
    """A planned set that fails, its changed skills, its removed releases, and false claims."""

    trials: Trials
    removed: RemovedReleases
    changed: frozenset[SkillName]
    false: Mapping[SkillName, tuple[ProbeResult, ...]]


def find_failures(
    case: FailedPlan, results: Sequence[ProbeResult]
) -> tuple[tuple[ProbeFailure, ...], frozenset[SkillName]]:
    """Return each failure with its culprits, and the skills to leave out so that the rest passes.

    Finds the culprits of one failing skill at a time and leaves them out; every skill that passes
    then has the same culprits. Leaving skills out cannot help a skill that fails because of a
    removed release. Culprits that fail themselves are examined at the end.
    """
    trials, changed = case.trials, case.changed
    failed = {**_failed(results), **case.false}
    failures: list[ProbeFailure] = []
    left_out, lost_to_removal = set[SkillName](), set[SkillName]()
    pending, kept = sorted(failed), frozenset(trials.lock.skills)
    while pending:
        failure = _find_culprits(case, pending[0], kept, changed & kept)
        if failure.removed:
            failures.append(replace(failure, failed=failed[failure.victim]))
            lost_to_removal.add(pending.pop(0))
            continue
        removable = (
            (changed & {*failure.culprits}) or (changed & {failure.victim}) or {*failure.culprits}
        )
        left_out |= removable
        kept = remaining(trials.lock, left_out)
        still_failing = _failed([r for r in trials.results(kept) if r.skill not in lost_to_removal])
        now_passing = {
            failure.victim,
            *(skill for skill in pending if skill in kept - still_failing.keys()),
        }
        for skill in sorted(now_passing):
            shared = failure if skill == failure.victim else _shared(skill, removable)
            installed = failure.installed and skill not in changed
            failures.append(replace(shared, failed=failed[skill], installed=installed))
        failed = {**still_failing, **failed}
        pending = sorted({*still_failing, *(case.false.keys() & kept)})
    failures += _failures_of_culprits(case, failed, {failure.victim for failure in failures})
    return tuple(failures), frozenset(left_out)


def _shared(skill: SkillName, culprits: Iterable[SkillName]) -> ProbeFailure:
    """Return the failure of another skill that passes without the same culprits."""
    return ProbeFailure(skill, (), tuple(sorted(culprits)))


def _failures_of_culprits(
    case: FailedPlan, failed: Mapping[SkillName, tuple[ProbeResult, ...]], named: set[SkillName]
) -> list[ProbeFailure]:
    """Return the failures of skills that were left out as culprits of others."""
    every = frozenset(case.trials.lock.skills)
    return [
        replace(_find_culprits(case, skill, every, case.changed & every), failed=failed[skill])
        for skill in sorted(failed.keys() - named)
    ]


def _failed(results: Sequence[ProbeResult]) -> dict[SkillName, tuple[ProbeResult, ...]]:
    failed = [result for result in results if not result.passed]
    return {
        skill: tuple(result for result in failed if result.skill == skill)
        for skill in {result.skill for result in failed}
    }


def _requirements_first(lock: Lockfile, skills: Iterable[SkillName]) -> list[SkillName]:
    """Sort requirements before the skills that require them: a subset includes requirements."""
    return sorted(skills, key=lambda skill: (len(reachable(lock.skills, [skill])), skill))


def _find_culprits(
    case: FailedPlan,
    victim: SkillName,
    kept: frozenset[SkillName],
    changed: frozenset[SkillName],
) -> ProbeFailure:
    """Find the culprits of one skill's failure among `kept`, the skills not left out so far."""
    trials, removed, own = case.trials, case.removed, frozenset({victim})
    if victim in case.false:
        return ProbeFailure(victim, (), (victim,), claim=True, alone=True)
    if trials.fails(victim, own):
        return _find_required_culprits(trials, victim)
    new, old = (
        _requirements_first(trials.lock, changed - own),
        _requirements_first(trials.lock, kept - changed - own),
    )
    settled = own | frozenset(old)

    def fails(skills: frozenset[SkillName]) -> bool:
        return trials.fails(victim, skills)

    if not new or (old and fails(settled)):
        lost = removed.culprits(victim, settled)
        if lost:
            return ProbeFailure(victim, (), lost, removed=removed.refs(lost))
        culprits = minimal_culprits(fails, own, old)
        return ProbeFailure(victim, (), culprits, installed=victim not in changed)
    return ProbeFailure(victim, (), minimal_culprits(fails, settled, new))


def _find_required_culprits(trials: Trials, victim: SkillName) -> ProbeFailure:
    """Find the culprits of a skill that fails with its requirements alone."""
    store = trials.stage.session.store
    below = skills_below(store, trials.lock, victim) | {victim}

    def fails(skills: frozenset[SkillName]) -> bool:
        layers = (skills_below(store, trials.lock, skill) for skill in skills)
        return trials.fails(victim, skills.union(*layers), exactly=True)

    required = _requirements_first(trials.lock, reachable(trials.lock.skills, [victim]) - below)
    if not required or fails(below):
        return ProbeFailure(victim, (), (victim,), alone=True)
    return ProbeFailure(victim, (), minimal_culprits(fails, below, required))
