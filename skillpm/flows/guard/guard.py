"""`--guard`: refuse a change if a probe of the planned set fails, and name the culprits.

The guard evaluates the planned set after its blobs are downloaded and before anything is switched.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from skillpm.environment.generation import differences, new_packs
from skillpm.errors import GraftError, ResolutionError, SpecError
from skillpm.flows.change.plan import Plan
from skillpm.flows.evaluate.carried import CarriedProbes, ProbeResult, carried_by
from skillpm.flows.evaluate.measured import check_claims
from skillpm.flows.evaluate.stage import open_candidate
from skillpm.flows.evaluate.trials import Trials
from skillpm.flows.guard.culprits import FailedPlan, find_failures
from skillpm.flows.guard.remedies import Remedy, find_remedy
from skillpm.flows.guard.removals import RemovedReleases
from skillpm.flows.guard.report import GuardError, ProbeFailure, bound_words
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import fetch_all
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.words import counted, distinct
from skillpm.store.packs import fetch_pack, is_complete


def guard(project: OpenProject, plan: Plan, /, *, device: str) -> tuple[str, ...]:
    """Run the probes of a plan, and return notes. Raises `GuardError` if a probe fails.

    A probe that fails without the change too is only noted. A set that `graft` would refuse raises
    the error of `graft`, even if it has no probes. Costs one composition of the planned set, one
    run of all its probes, and one measurement of each pack that was never measured on this base.
    After a failure, it also costs a composition of the installed set and of a few subsets.
    Downloads the blobs of the set into the store.
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
    trials, results, old_notes = _without_old_failures(trials, before, results)
    notes = (*notes, *claims.notes, *old_notes)
    if claims.false or not all(result.passed for result in results):
        case = FailedPlan(
            trials, RemovedReleases.of(trials, before), _changed_skills(before, lock), claims.false
        )
        requirements = project.file.skills if plan.requirements is None else plan.requirements
        raise _refusal(case, plan, results, requirements, notes)
    return (*_passed_note(results), *notes)


def _carried(
    session: Session, before: Lockfile, lock: Lockfile
) -> tuple[dict[SkillName, CarriedProbes], tuple[str, ...]]:
    """Return the probes of a set, and notes on skills without usable probes.

    Raises `SpecError` if the probe file of a new pack cannot be read.
    """
    probes: dict[SkillName, CarriedProbes] = {}
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
        probes |= carried
        if not carried:
            unguarded.append(skill)
    if unguarded:
        notes.append(f"unguarded, because they have no probes: {', '.join(map(str, unguarded))}")
    return probes, tuple(notes)


def _passed_note(results: Sequence[ProbeResult]) -> tuple[str, ...]:
    if not results:
        return ()
    items = counted(sum(result.samples for result in results), "item")
    probes, skills = counted(len(results), "probe"), {result.skill for result in results}
    return (f"the guard passed: {probes} ({items}) of {counted(len(skills), 'skill')}",)


def _without_old_failures(
    trials: Trials, before: Lockfile, results: list[ProbeResult]
) -> tuple[Trials, list[ProbeResult], tuple[str, ...]]:
    """Drop the probes that fail in the installed set too, and return notes on them.

    Costs one composition of the installed set if a probe of an unchanged pack fails.
    """
    failed = [result for result in results if not result.passed]
    unchanged = {result.skill for result in failed} - new_packs(
        before.skills, trials.lock.skills
    ).keys()
    if not unchanged or not all(
        is_complete(trials.stage.session.store, locked.digest) for locked in before.skill
    ):
        return trials, results, ()
    earlier = Trials(
        trials.stage, before, {skill: trials.carried[skill] for skill in sorted(unchanged)}
    )
    try:
        earlier_results = {
            (result.skill, result.metric): result for result in earlier.results(before.skills)
        }
    except (GraftError, ResolutionError):  # no model, so all its probes fail
        earlier_results = {}
    ignored = {
        (result.skill, result.metric): result
        for result in failed
        if result.skill in unchanged
        and (
            (result.skill, result.metric) not in earlier_results
            or not earlier_results[result.skill, result.metric].passed
        )
    }
    notes = tuple(_old_failure(result, earlier_results.get(key)) for key, result in ignored.items())
    kept = [result for result in results if (result.skill, result.metric) not in ignored]
    return trials.ignoring(ignored.keys()), kept, notes


def _old_failure(failed: ProbeResult, before: ProbeResult | None) -> str:
    value_before = failed.now if before is None else before.now
    old, now, bound = distinct(value_before, failed.now, failed.bound)
    return (
        f"fails without this change too, and is ignored: `{failed.skill}` {failed.metric} is "
        f"{old}, after the change {now}, expected {bound_words(failed)} {bound}"
    )


def _refusal(
    case: FailedPlan,
    plan: Plan,
    results: Sequence[ProbeResult],
    requirements: Iterable[str],
    notes: Sequence[str],
) -> GuardError:
    failures, leave_out = find_failures(case, results)
    for note in notes:
        case.trials.stage.session.say(note)
    alone = any(failure.alone for failure in failures)
    remedy = find_remedy(case.trials, leave_out, requirements, alone=alone, fixed=plan.fixed)
    return GuardError(
        plan.action, failures, plan.lock, _keep_removed(remedy, case.removed, failures)
    )


def _keep_removed(
    remedy: Remedy, removed: RemovedReleases, failures: Sequence[ProbeFailure]
) -> Remedy:
    """Return the remedy, with the hint to keep the releases whose removal breaks a skill."""
    skills = sorted(
        {skill for failure in failures if failure.removed for skill in failure.culprits}
    )
    if not skills:
        return remedy
    names = ", ".join(f"`{ref}`" for ref in removed.refs(skills))
    others_pass = not remedy.leave_out and removed.restoring_passes(skills)
    keep = f"keep {names}{'; all probes then pass' if others_pass else ''}"
    hint = f"{keep}; {remedy.hint}" if remedy.leave_out else keep
    return replace(remedy, hint=hint, others_pass=others_pass)


def _changed_skills(before: Lockfile, after: Lockfile) -> frozenset[SkillName]:
    """Return the skills that the change adds or changes; all, if the merge method changes."""
    if before.graft.merge_options != after.graft.merge_options:
        return frozenset(after.skills)
    added, _, changed = differences(before.skills, after.skills)
    return frozenset(entry.skill for entry in (*added, *changed))
