"""`graft --tune`: search the weights that maximise the least share of gain that any probe keeps.

A coordinate search: tries each skill's weight one step down and one step up, and halves the step if
no change helps. The search is deterministic, and limited by a number of trials.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from skillpm.environment.project import ProjectFolder, basis_of
from skillpm.errors import GraftError, NotFoundError, StateError
from skillpm.flows.change.plan import ChangeResult, Plan, apply_plan, check_unchanged
from skillpm.flows.evaluate.carried import probes_of_all, shares_kept
from skillpm.flows.evaluate.measured import with_measurements
from skillpm.flows.evaluate.stage import open_candidate
from skillpm.flows.evaluate.trials import Trials
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
"""The range of weights. At weight 0, a skill would change nothing."""
Weights = dict[SkillName, float]
Objective = tuple[float, float]


_NOTHING: Objective = (float("-inf"), float("-inf"))


@dataclass(frozen=True)
class TunedWeights:
    """Weights before and after tuning, and the least and the mean share of gain kept.

    `change` is the new generation, if the weights were applied.
    """

    before: Mapping[SkillName, float]
    after: Mapping[SkillName, float]
    kept_before: Objective
    kept_after: Objective
    trials: int
    change: ChangeResult | None = None


def tune(session: Session, *, budget: int, device: str, write: bool) -> TunedWeights:
    """Search weights; with `write`, apply them to skillpm.toml and lock as a new generation.

    Only the weights of skills in skillpm.toml change. Raises `GraftError` if no installed skill has
    probes, `StateError` if the lock differs from the installed set.
    """
    project = ProjectFolder(session.project).require()
    if not write:
        return _search(session, project, budget, device)
    with project_transaction(session, project, "tune"):
        basis = basis_of(project)
        tuned = _search(session, project, budget, device)
        check_unchanged(project, basis)
        if tuned.after == tuned.before:
            return tuned
        plan = _plan(session, project, tuned.after)
        return replace(tuned, change=apply_plan(OpenProject.open(session, project), plan))


def _search(session: Session, project: ProjectFolder, budget: int, device: str) -> TunedWeights:
    lock = _installed(project)
    probes = probes_of_all(session, lock, "tuning")
    carried = with_measurements(session, lock, probes, device)
    required = project.read_file().project_requirements.keys()
    before = {
        skill: locked.weight
        for skill, locked in lock.skills.items()
        if skill in required and is_scalable(load_pack(session.store, locked.digest).manifest)
    }
    advance = session.progress("trials", budget)
    trials = Trials(open_candidate(session, project, device), lock, carried)
    known: dict[tuple[float, ...], Objective] = {}

    def objective(weights: Weights) -> Objective:
        key = tuple(weights.values())
        if key not in known:
            try:
                known[key] = shares_kept(trials.results(lock.skills, weights=weights))
            except GraftError:  # at some weights, a sum overflows
                if not known:
                    raise
                known[key] = _NOTHING
            advance(1)
        return known[key]

    after = _coordinate_search(before, objective, lambda: len(known) >= budget)
    return TunedWeights(before, after, known[tuple(before.values())], objective(after), len(known))


def _coordinate_search(
    start: Weights, objective: Callable[[Weights], Objective], exhausted: Callable[[], bool]
) -> Weights:
    best, step = dict(start), FIRST_STEP
    reached = objective(best)
    while step >= LAST_STEP and not exhausted():
        better = False
        for skill in start:
            for moved in (best[skill] - step, best[skill] + step):
                tried = {**best, skill: round(min(MOST, max(LEAST, moved)), 6)}
                if exhausted() or tried == best:
                    continue
                value = objective(tried)
                if value > reached:
                    best, reached, better = tried, value, True
                    break
        step = step if better else step / 2
    return best


def _installed(project: ProjectFolder) -> Lockfile:
    current, lock = project.generation(), project.read_lock()
    if not current.skills or lock is None:
        raise NotFoundError(
            "no skill is installed in this project", hint="`skillpm install acme/math` installs one"
        )
    if not lock.same_set(current.lockfile):
        raise StateError(
            "skillpm.lock differs from the installed set",
            hint="`skillpm install` installs the lock",
        )
    reason = stale_reason(project.read_file(), lock)
    if reason is not None:
        raise StateError(
            f"skillpm.toml does not match the installed set: {reason}",
            hint="`skillpm install` installs its requirements",
        )
    if lock.graft.routed:
        raise GraftError(
            "weights cannot be tuned in routed mode, because each skill answers alone",
            hint="`skillpm config set graft.mode merged`, then `skillpm install`",
        )
    return lock


def _plan(session: Session, project: ProjectFolder, weights: Mapping[SkillName, float]) -> Plan:
    file, lock = project.read_file(), _installed(project).with_weights(weights)
    requirements: dict[str, object] = {}
    for skill, requirement in file.project_requirements.items():
        weight = weights.get(skill, requirement.weight)
        requirements[str(skill)] = {**requirement.model_dump(exclude_none=True), "weight": weight}
    registries = Registries(session, file)
    packs = stored_packs(session, registries, lock)
    check_together(lock, packs)
    return Plan("tune", lock, packs, requirements)
