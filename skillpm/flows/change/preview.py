"""What a change would do, with everything that `apply` needs to do it later."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from skillpm.environment.generation import Generation, differences, new_packs
from skillpm.environment.project import basis_of
from skillpm.flows.change.forecast import forecast_lock
from skillpm.flows.change.plan import (
    ChangeResult,
    Plan,
    check_unchanged,
    installed_of,
    planned_requirements,
)
from skillpm.flows.change.preview_signatures import preview_signatures
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.registries import Registries
from skillpm.spec.names import SkillName
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.spec.plan import Basis, PlannedFile, SavedPlan


def preview(project: OpenProject, make: Callable[[], Plan]) -> ChangeResult:
    """What `apply_plan` would do, with everything that `apply` needs to do it later.

    A preview holds no lock, so the project may change meanwhile: that is a `StateError`.
    """
    registries, folder = project.registries, project.folder
    basis = basis_of(folder)
    plan = make()
    current = folder.generation()
    plan = _with_signatures(registries, current, plan)
    after = {skill.skill: skill for skill in installed_of(plan)}
    parts = differences(current.installed, after)
    kept = len(after) - len(parts[0]) - len(parts[2])
    moves = any(parts) or planned_requirements(project, plan) != current.wishes
    moves = moves or not plan.lock.same_set(current.lockfile)
    number = current.number + (1 if moves else 0)
    check_unchanged(folder, basis)
    unverified = project.session.verified.lacking(plan.lock)
    return ChangeResult(
        number,
        *parts,
        kept,
        dry_run=True,
        notes=plan.notes,
        saved=_saved(plan, basis, registries),
        before=current.installed,
        forecast=partial(forecast_lock, plan.lock, plan.packs),
        moved=moves,
        unverified=frozenset(locked.skill for locked in unverified),
    )


def _with_signatures(registries: Registries, current: Generation, plan: Plan) -> Plan:
    """The plan, with a note on each pair of near-equal signatures that comes of it."""
    new = new_packs(current.installed, plan.lock.skills)
    if not any(plan.packs[skill].image.layer(ROUTER_TYPE) for skill in new):
        return plan
    asked = [SkillName.parse(name) for name in plan.requirements or registries.file.skills]
    before = current.lockfile.skills
    notes = preview_signatures(registries, plan.lock, new, before, asked, plan.action)
    return replace(plan, notes=(*plan.notes, *notes))


def _saved(plan: Plan, basis: Basis, registries: Registries) -> SavedPlan:
    files = [
        PlannedFile(path=str(pack.path.absolute()), digest=pack.digest) for pack in registries.files
    ]
    return SavedPlan.model_validate(
        {
            "action": plan.action,
            "basis": basis,
            "lock": plan.lock,
            "wishes": None if plan.requirements is None else dict(plan.requirements),
            "files": files,
            "frozen": plan.frozen,
        }
    )
