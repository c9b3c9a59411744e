"""`install` and `upgrade`: resolve with as little change as will do, fetch, switch."""

from dataclasses import replace
from functools import partial

from skillpm.environment.edit import set_skills
from skillpm.environment.project import ProjectFolder
from skillpm.errors import NotFoundError, StateError
from skillpm.flows.change.plan import (
    ChangeResult,
    Plan,
    apply_plan,
    guarded,
    preview,
    publish_files,
)
from skillpm.flows.change.request import InstallRequest, ask_for, asked_wishes, settled_wishes
from skillpm.flows.change.verify_plan import verify_plan
from skillpm.flows.locking.held_back import held_notes
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.locking.solve import check_together, solve_project
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.project import parse_project


def install(session: Session, request: InstallRequest) -> ChangeResult:
    """Make the environment what is asked for, or leave it as it is."""
    project = ProjectFolder(session.project).require()
    if request.dry_run:
        registries = Registries(session, project.read_file(), request.files)
        make = partial(_plan, session, project, registries, request)
        return preview(project, registries, make)
    with project_transaction(session, project, request.action):
        registries = Registries(session, project.read_file(), request.files)
        plan = _plan(session, project, registries, request)
        plan = verify_plan(session, project, registries, plan)
        publish_files(registries)
        return apply_plan(session, project, registries, plan)


def _plan(
    session: Session, project: ProjectFolder, registries: Registries, request: InstallRequest
) -> Plan:
    """The plan, which the guard has passed where one is asked for: before a file is published."""
    plan = _resolved(session, project, registries, request)
    return guarded(session, project, registries, plan, request.guard)


def _resolved(
    session: Session, project: ProjectFolder, registries: Registries, request: InstallRequest
) -> Plan:
    registries.check_files()
    file, asks = project.read_file(), request.resolves
    lock = project.read_lock()
    reason = stale_reason(file, lock)
    if not asks and lock is not None and reason is None:
        packs_here = stored_packs(session, registries, lock)
        check_together(lock, packs_here)
        return Plan(request.action, lock, packs_here, frozen=request.frozen)
    if request.frozen and not asks:
        raise _frozen(reason)
    wishes = asked_wishes(file, request, registries.files)
    edited = parse_project(set_skills(project.read_text(project.file), wishes))
    ask = ask_for(project, edited, lock, request)
    solved = solve_project(session, replace(registries, file=edited), ask)
    if request.frozen and (lock is None or not solved.lock.same_set(lock)):
        raise _frozen(reason)
    final = settled_wishes(wishes, solved.lock, request, file)
    notes: tuple[str, ...] = (f"re-locked: {reason}",) if reason and not asks else ()
    if request.upgrade is not None:
        locked = solved.lock.skills
        known = registries.releases(locked.keys())
        notes += held_notes(edited, solved.lock.base.root, locked, known)
    return Plan(request.action, solved.lock, solved.packs, final, notes, request.frozen)


def _frozen(reason: str | None) -> StateError:
    return StateError(
        f"`--frozen` keeps the lock as it is, but {reason or 'this would change it'}",
        hint="`skillpm lock`, then commit skillpm.lock",
    )


def upgrade(session: Session, request: InstallRequest) -> ChangeResult:
    """As `install`, with the named skills free to move; all of them where none is named."""
    if ProjectFolder(session.project).read_lock() is None:
        raise NotFoundError("there is no skillpm.lock to upgrade", hint="`skillpm install`")
    return install(session, request)
