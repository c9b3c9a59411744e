"""`graft --tune`: the weights at which the worst of all probes keeps the most of its gain.

A search by coordinates: each skill's weight in turn a step up and a step down, the step halved
where none is better. Deterministic, and bounded by the trials that it may take.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from skillpm.environment.project import ProjectFolder, basis_of
from skillpm.errors import GraftError, NotFoundError, StateError
from skillpm.flows.change.plan import ChangeResult, Plan, apply_plan, check_unchanged
from skillpm.flows.evaluate.carried import ProbeResult, carried_by
from skillpm.flows.evaluate.measured import with_measurements
from skillpm.flows.evaluate.stage import open_candidate
from skillpm.flows.evaluate.trials import Trials, weighed
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.locking.solve import check_together
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.compat import is_scalable
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import load_pack

FIRST_STEP, LAST_STEP = 0.4, 0.1
LEAST, MOST = 0.1, 2.0
"""Weights stay between these: one of 0 would be a skill that changes nothing."""
Weights = dict[SkillName, float]
Worth = tuple[float, float]


_NOTHING: Worth = (float("-inf"), float("-inf"))


@dataclass(frozen=True)
class TunedWeights:
    """What was found: weights before and after, and the worst and mean share of gain kept.

    `change` is the generation that it made, where it was carried out.
    """

    before: Mapping[SkillName, float]
    after: Mapping[SkillName, float]
    kept_before: Worth
    kept_after: Worth
    trials: int
    change: ChangeResult | None = None


def tune(session: Session, *, budget: int, device: str, write: bool) -> TunedWeights:
    """Search; where `write`, make the weights a new generation, in `skillpm.toml` and lock too.

    Only skills that skillpm.toml names have a weight there. Raises `GraftError` where no installed
    skill has probes, `StateError` where the lock is ahead of what is installed.
    """
    project = ProjectFolder(session.project).require()
    if not write:
        return _search(session, project, budget, device)
    with project_transaction(session, project, "tune"):
        basis = basis_of(project)
        found = _search(session, project, budget, device)
        check_unchanged(project, basis)
        if found.after == found.before:
            return found
        plan = _plan(session, project, found.after)
        return replace(found, change=apply_plan(OpenProject.open(session, project), plan))


def _search(session: Session, project: ProjectFolder, budget: int, device: str) -> TunedWeights:
    lock = _installed(project)
    carried = with_measurements(session, lock, carried_by(session, lock, list(lock.skills)), device)
    if not carried:
        raise GraftError(
            "no installed skill has probes to tune by", hint="`skillpm pack … --probes FILE`"
        )
    named = project.read_file().project_requirements.keys()
    before = {
        skill: one.weight
        for skill, one in lock.skills.items()
        if skill in named and is_scalable(load_pack(session.store, one.digest).manifest)
    }
    advance = session.progress("trials", budget)
    trials = Trials(open_candidate(session, project, device), lock, carried)
    known: dict[tuple[float, ...], Worth] = {}

    def worth(weights: Weights) -> Worth:
        key = tuple(weights.values())
        if key not in known:
            try:
                known[key] = _worth(trials.results(lock.skills, weights=weights))
            except GraftError:  # weights at which a sum overflows
                if not known:
                    raise
                known[key] = _NOTHING
            advance(1)
        return known[key]

    after = _climb(before, worth, lambda: len(known) >= budget)
    return TunedWeights(before, after, known[tuple(before.values())], worth(after), len(known))


def _climb(start: Weights, worth: Callable[[Weights], Worth], spent: Callable[[], bool]) -> Weights:
    best, step = dict(start), FIRST_STEP
    reached = worth(best)
    while step >= LAST_STEP and not spent():
        better = False
        for skill in start:
            for moved in (best[skill] - step, best[skill] + step):
                tried = {**best, skill: round(min(MOST, max(LEAST, moved)), 6)}
                if spent() or tried == best:
                    continue
                found = worth(tried)
                if found > reached:
                    best, reached, better = tried, found, True
                    break
        step = step if better else step / 2
    return best


def _worth(results: list[ProbeResult]) -> Worth:
    """The least share of gain kept, then the mean; four digits, so that noise decides nothing."""
    kept = [min(1.0, one.kept) for one in results]
    return round(min(kept), 4), round(sum(kept) / len(kept), 4)


def _installed(project: ProjectFolder) -> Lockfile:
    current, lock = project.generation(), project.read_lock()
    if not current.skills or lock is None:
        raise NotFoundError("nothing is installed here to tune", hint="`skillpm install`")
    if not lock.same_set(current.lockfile):
        raise StateError(
            "skillpm.lock runs ahead of what is installed", hint="`skillpm install` applies it"
        )
    reason = stale_reason(project.read_file(), lock)
    if reason is not None:
        raise StateError(
            f"skillpm.toml asks for something else than is installed: {reason}",
            hint="`skillpm install` applies it",
        )
    if lock.graft.routed:
        raise GraftError(
            "the graft is routed: each skill answers alone, and no weights are to be found",
            hint='`mode = "merged"` under `[graft]` in skillpm.toml',
        )
    return lock


def _plan(session: Session, project: ProjectFolder, weights: Mapping[SkillName, float]) -> Plan:
    file, lock = project.read_file(), weighed(_installed(project), weights)
    wishes: dict[str, object] = {}
    for skill, wish in file.project_requirements.items():
        weight = weights.get(skill, wish.weight)
        wishes[str(skill)] = {**wish.model_dump(exclude_none=True), "weight": weight}
    registries = Registries(session, file)
    packs = stored_packs(session, registries, lock)
    check_together(lock, packs)
    return Plan("tune", lock, packs, wishes)
