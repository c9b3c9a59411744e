"""`--guard`: all probes of what is to be installed hold, or nothing changes and a culprit is named.

Evaluated on the planned set, after its blobs have come and before anything is switched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from skillpm.environment.generation import differences, new_packs
from skillpm.errors import GraftError, ResolutionError, SpecError
from skillpm.flows.change.plan import Plan
from skillpm.flows.evaluate.carried import CarriedProbes, ProbeResult, carried_by
from skillpm.flows.evaluate.measured import check_claims, lower_of
from skillpm.flows.evaluate.stage import open_candidate
from skillpm.flows.evaluate.trials import Trials, without
from skillpm.flows.guard.quickxplain import smallest_culprits
from skillpm.flows.guard.remedies import Remedy, way_out
from skillpm.flows.guard.removals import RemovedReleases
from skillpm.flows.guard.report import GuardError, ProbeFailure
from skillpm.flows.locking.lock_check import reachable
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import fetch_all
from skillpm.flows.session.session import Session
from skillpm.flows.session.words import distinct
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.words import counted
from skillpm.store.packs import fetch_pack, is_complete


def guard(project: OpenProject, plan: Plan, /, *, device: str) -> tuple[str, ...]:
    """Notes on a plan whose probes all hold. Raises `GuardError` where one does not.

    A probe that fails without the change too does not stop it; a note reports it. What `graft`
    would refuse raises what it raises there, without probes too. Costs one composition of the
    planned set and the probes of all its skills, and the measurement of each pack that was not
    measured on this base before; where a probe fails, the installed set and another few of parts.
    Brings the set's blobs into the store.
    """
    session, registries = project.session, project.registries
    before, lock = project.folder.generation().lockfile, plan.lock
    if lock.same_set(before) or not lock.skill:
        return ()
    for pack in registries.files:
        fetch_pack(session.store, pack.digest, pack)
    fetch_all(session, registries, lock)
    carried, notes = _carried(session, before, lock)
    stage = open_candidate(session, project.folder, device)
    if lock.graft.routed or not carried:
        stage.check(lock)
    if not carried:
        return notes
    claims = check_claims(stage, lock, carried, frozenset(new_packs(before.skills, lock.skills)))
    trials = Trials(stage, lock, claims.carried)
    results = trials.results(lock.skills)
    trials, results, old = _without_old_failures(trials, before, results)
    notes = (*notes, *claims.notes, *old)
    if claims.false or not all(one.passed for one in results):
        case = FailedPlan(
            trials, RemovedReleases.of(trials, before), _moved(before, lock), claims.false
        )
        wishes = project.file.skills if plan.wishes is None else plan.wishes
        raise _refusal(case, plan, results, wishes, notes)
    return (*_held(results), *notes)


def _carried(
    session: Session, before: Lockfile, lock: Lockfile
) -> tuple[dict[SkillName, CarriedProbes], tuple[str, ...]]:
    """The probes of a planned set. Probes of a new pack must be readable; else a note says why."""
    found: dict[SkillName, CarriedProbes] = {}
    notes: list[str] = []
    new, unguarded = new_packs(before.skills, lock.skills), list[SkillName]()
    for skill in lock.skills:
        try:
            carried = carried_by(session, lock, [skill])
        except SpecError as problem:
            if skill in new:
                raise
            notes.append(f"unguarded: {problem.message}")
            continue
        found |= carried
        if not carried:
            unguarded.append(skill)
    if unguarded:
        notes.append(f"unguarded, for want of probes: {', '.join(map(str, unguarded))}")
    return found, tuple(notes)


def _held(results: Sequence[ProbeResult]) -> tuple[str, ...]:
    if not results:
        return ()
    items = counted(sum(one.samples for one in results), "item")
    probes, skills = counted(len(results), "probe"), {one.skill for one in results}
    return (f"the guard holds: {probes} ({items}) of {counted(len(skills), 'skill')}",)


def _without_old_failures(
    trials: Trials, before: Lockfile, results: list[ProbeResult]
) -> tuple[Trials, list[ProbeResult], tuple[str, ...]]:
    """Trials and results without the probes that fail in the installed set too, and notes of these.

    Costs one composition of the installed set, where a probe of an installed pack fails.
    """
    failed = [one for one in results if not one.passed]
    stay = {one.skill for one in failed} - new_packs(before.skills, trials.lock.skills).keys()
    if not stay or not all(
        is_complete(trials.stage.session.store, one.digest) for one in before.skill
    ):
        return trials, results, ()
    earlier = Trials(trials.stage, before, {s: trials.carried[s] for s in sorted(stay)})
    try:
        were = {(one.skill, one.metric): one for one in earlier.results(before.skills)}
    except (GraftError, ResolutionError):  # no model at all: none of its capabilities was there
        were = {}
    old = {
        (one.skill, one.metric): one
        for one in failed
        if one.skill in stay
        and ((one.skill, one.metric) not in were or not were[one.skill, one.metric].passed)
    }
    notes = tuple(_old_failure(one, were.get(key)) for key, one in old.items())
    kept = [one for one in results if (one.skill, one.metric) not in old]
    return trials.ignoring(old.keys()), kept, notes


def _old_failure(failed: ProbeResult, before: ProbeResult | None) -> str:
    was = failed.now if before is None else before.now
    old, now, bound = distinct(was, failed.now, failed.bound)
    return (
        f"fails without this change too: `{failed.skill}` {failed.metric} is {old}, would be "
        f"{now}, may be {bound}"
    )


def _refusal(
    case: "FailedPlan",
    plan: Plan,
    results: Sequence[ProbeResult],
    wishes: Iterable[str],
    notes: Sequence[str],
) -> GuardError:
    blames, leave = _blames(case, results)
    for note in notes:
        case.trials.stage.session.say(note)
    alone = any(blame.alone for blame in blames)
    way = way_out(case.trials, leave, wishes, alone=alone, fixed=plan.fixed)
    return GuardError(plan.action, blames, plan.lock, _keeping(way, case.taken, blames))


@dataclass(frozen=True)
class FailedPlan:
    """A planned set that fails; what the change moves and takes away; what packs falsely say."""

    trials: Trials
    taken: RemovedReleases
    moved: frozenset[SkillName]
    false: Mapping[SkillName, tuple[ProbeResult, ...]]


def _keeping(way: Remedy, taken: RemovedReleases, blames: Sequence[ProbeFailure]) -> Remedy:
    """The way out where a change is stopped for what it takes away: that stays."""
    skills = sorted({skill for blame in blames if blame.taken for skill in blame.culprits})
    if not skills:
        return way
    names = ", ".join(f"`{ref}`" for ref in taken.refs(skills))
    mended = not way.leave_out and taken.mend(skills)
    keep = f"keep {names}{': all probes hold then' if mended else ''}"
    return replace(way, hint=f"{keep}; {way.hint}" if way.leave_out else keep, mended=mended)


def _moved(before: Lockfile, after: Lockfile) -> frozenset[SkillName]:
    """The skills that the change adds or changes; all, where they are to be merged otherwise."""
    if before.graft.merge_options != after.graft.merge_options:
        return frozenset(after.skills)
    added, _, changed = differences(before.skills, after.skills)
    return frozenset(one.skill for one in (*added, *changed))


def _blames(
    case: FailedPlan, results: Sequence[ProbeResult]
) -> tuple[tuple[ProbeFailure, ...], frozenset[SkillName]]:
    """Blames for what fails, and the skills without which all that is left holds.

    The causes of one failing skill are searched at a time and left out; each skill that holds then
    has the same causes. A skill that fails because the change removes what it needs cannot be
    helped by leaving others out. The causes of a skill that was left out are searched at the end.
    """
    trials, moved = case.trials, case.moved
    failed = {**_failed(results), **case.false}
    blames: list[ProbeFailure] = []
    left_out, wanting = set[SkillName](), set[SkillName]()
    waiting, rest = sorted(failed), frozenset(trials.lock.skills)
    while waiting:
        blame = _blame(case, waiting[0], rest, moved & rest)
        if blame.taken:
            blames.append(replace(blame, failed=failed[blame.victim]))
            wanting.add(waiting.pop(0))
            continue
        gone = (moved & {*blame.culprits}) or (moved & {blame.victim}) or {*blame.culprits}
        left_out |= gone
        rest = without(trials.lock, left_out)
        still = _failed([one for one in trials.results(rest) if one.skill not in wanting])
        mended = {blame.victim, *(skill for skill in waiting if skill in rest - still.keys())}
        blames += [
            ProbeFailure(
                skill,
                failed[skill],
                blame.culprits if skill == blame.victim else tuple(sorted(gone)),
                claim=blame.claim and skill == blame.victim,
                alone=blame.alone and skill == blame.victim,
                installed=blame.installed and skill not in moved,
            )
            for skill in sorted(mended)
        ]
        failed = {**still, **failed}
        waiting = sorted({*still, *(case.false.keys() & rest)})
    blames += _unnamed(case, failed, {blame.victim for blame in blames})
    return tuple(blames), frozenset(left_out)


def _unnamed(
    case: FailedPlan, failed: Mapping[SkillName, tuple[ProbeResult, ...]], named: set[SkillName]
) -> list[ProbeFailure]:
    """Blames for the skills that were left out as culprits before their own failure was named."""
    every = frozenset(case.trials.lock.skills)
    return [
        replace(_blame(case, skill, every, case.moved & every), failed=failed[skill])
        for skill in sorted(failed.keys() - named)
    ]


def _failed(results: Sequence[ProbeResult]) -> dict[SkillName, tuple[ProbeResult, ...]]:
    bad = [one for one in results if not one.passed]
    return {skill: tuple(o for o in bad if o.skill == skill) for skill in {o.skill for o in bad}}


def _in_order(lock: Lockfile, skills: Iterable[SkillName]) -> list[SkillName]:
    """Requirements before what requires them: what is tried alone brings its own along."""
    return sorted(skills, key=lambda skill: (len(reachable(lock.skills, [skill])), skill))


def _blame(
    case: FailedPlan, victim: SkillName, rest: frozenset[SkillName], moved: frozenset[SkillName]
) -> ProbeFailure:
    """The cause of one skill's failure in `rest`: all that has not been left out so far."""
    trials, taken, own = case.trials, case.taken, frozenset({victim})
    if victim in case.false:
        return ProbeFailure(victim, (), (victim,), claim=True, alone=True)
    if trials.fails(victim, own):
        return _blame_required(trials, victim)
    new, old = _in_order(trials.lock, moved - own), _in_order(trials.lock, rest - moved - own)
    settled = own | frozenset(old)

    def fails(skills: frozenset[SkillName]) -> bool:
        return trials.fails(victim, skills)

    if not new or (old and fails(settled)):
        lost = taken.culprits(victim, settled)
        if lost:
            return ProbeFailure(victim, (), lost, taken=taken.refs(lost))
        culprits = smallest_culprits(fails, own, old)
        return ProbeFailure(victim, (), culprits, installed=victim not in moved)
    return ProbeFailure(victim, (), smallest_culprits(fails, settled, new))


def _blame_required(trials: Trials, victim: SkillName) -> ProbeFailure:
    """The cause where a skill fails with nothing but what it requires: itself, or some of that."""
    store = trials.stage.session.store
    below = lower_of(store, trials.lock, victim) | {victim}

    def fails(skills: frozenset[SkillName]) -> bool:
        lower = (lower_of(store, trials.lock, skill) for skill in skills)
        return trials.fails(victim, skills.union(*lower), exactly=True)

    required = _in_order(trials.lock, reachable(trials.lock.skills, [victim]) - below)
    if not required or fails(below):
        return ProbeFailure(victim, (), (victim,), alone=True)
    return ProbeFailure(victim, (), smallest_culprits(fails, below, required))
