"""`rollback`: a new generation with an old one's set, requirements and weights."""

from functools import partial

from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, NotFoundError
from skillpm.flows.change.plan import (
    ChangeResult,
    Guard,
    Plan,
    apply_plan,
    completed,
    guarded,
    preview,
)
from skillpm.flows.change.verify_plan import verify_plan
from skillpm.flows.locking.solve import known_root
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session


def rollback(
    session: Session, number: int | None, *, dry_run: bool = False, guard: Guard | None = None
) -> ChangeResult:
    """Go back to generation `number`, by default the one before the current."""
    project = ProjectFolder(session.project).require()
    if dry_run:
        registries = Registries(session, project.read_file())
        make = partial(_plan, session, project, registries, number, guard)
        return preview(project, registries, make)
    with project_transaction(session, project, "rollback") as cut_off:
        if cut_off and cut_off.action == _action(cut_off.number - 2 if number is None else number):
            return completed(project, cut_off)
        registries = Registries(session, project.read_file())
        plan = _plan(session, project, registries, number, guard)
        plan = verify_plan(session, project, registries, plan)
        return apply_plan(session, project, registries, plan)


def _action(number: int) -> str:
    return f"rollback {number}"


def _plan(
    session: Session,
    project: ProjectFolder,
    registries: Registries,
    number: int | None,
    guard: Guard | None,
) -> Plan:
    """The plan, which the guard has passed where one is asked for."""
    target = _target(project, number)
    root = project.read_file().root
    if target.base_root != root:
        raise IntegrityError(
            f"generation {target.number} is of base `{target.base_root}`, the project of `{root}`"
        )
    lock = target.lockfile
    packs = stored_packs(session, registries, lock)
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    lock = lock.with_root(known_root(lock, manifests))
    plan = Plan(_action(target.number), lock, packs, target.wishes, fixed=True)
    return guarded(session, project, registries, plan, guard)


def _target(project: ProjectFolder, number: int | None) -> Generation:
    current = project.current()
    if number is None and current == 0:
        raise NotFoundError(
            "the current generation is 0: there is nothing before it",
            hint="`skillpm history` lists the generations",
        )
    return project.generation(current - 1 if number is None else number)
