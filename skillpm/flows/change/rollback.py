"""`rollback`: make a new generation with the skills, requirements and weights of an old one."""

from functools import partial

from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, NotFoundError
from skillpm.flows.change.plan import ChangeResult, Guard, Plan
from skillpm.flows.change.run import ChangeCommand, run_change
from skillpm.flows.locking.solve import known_root
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.session import Session


def rollback(
    session: Session, number: int | None, *, dry_run: bool = False, guard: Guard | None = None
) -> ChangeResult:
    """Go back to generation `number`, by default the one before the current."""

    def completed_by(generation: Generation) -> bool:
        target = generation.number - 2 if number is None else number
        return generation.action == _action(target)

    command = ChangeCommand(
        "rollback",
        partial(_plan, number=number),
        dry_run=dry_run,
        guard=guard,
        completed_by=completed_by,
    )
    return run_change(session, command)


def _action(number: int) -> str:
    return f"rollback {number}"


def _plan(project: OpenProject, number: int | None) -> Plan:
    target = _target(project.folder, number)
    root = project.file.root
    if target.base_root != root:
        raise IntegrityError(
            f"generation {target.number} is for base `{target.base_root}`; expected the project's "
            f"base, `{root}`"
        )
    lock = target.lockfile
    packs = stored_packs(project.session, project.registries, lock)
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    lock = lock.with_root(known_root(lock, manifests))
    return Plan(_action(target.number), lock, packs, target.wishes, fixed=True)


def _target(project: ProjectFolder, number: int | None) -> Generation:
    current = project.current()
    if number is None and current == 0:
        raise NotFoundError(
            "the current generation is 0; there is no earlier one",
            hint="`skillpm history` lists the generations",
        )
    return project.generation(current - 1 if number is None else number)
