"""`install` and `upgrade`: resolve with the smallest change, fetch, switch."""

from dataclasses import replace
from functools import partial

from skillpm.environment.project import ProjectFolder
from skillpm.errors import NotFoundError, StateError
from skillpm.flows.change.plan import ChangeResult, Plan
from skillpm.flows.change.request import (
    InstallRequest,
    requested_skills,
    resolution_request,
    settled_skills,
)
from skillpm.flows.change.run import ChangeCommand, run_change
from skillpm.flows.locking.held_back import held_notes
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.locking.solve import check_together, known_root, solve_project
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile


def install(session: Session, request: InstallRequest) -> ChangeResult:
    """Install what is requested; without a request, what the lock says."""
    command = ChangeCommand(
        request.action,
        partial(_plan, request=request),
        dry_run=request.dry_run,
        guard=request.guard,
        open_files=lambda _folder: request.files,
    )
    return run_change(session, command)


def _plan(project: OpenProject, request: InstallRequest) -> Plan:
    """The lock as it is if it satisfies the request, else a new one that changes little."""
    project.registries.check_files()
    lock = project.folder.read_lock()
    reason = stale_reason(project.file, lock)
    if lock is not None and reason is None and request.only_weighs(project.file):
        return _reweighted(project, request, lock)
    if not request.resolves:
        if lock is not None and reason is None:
            packs = stored_packs(project.session, project.registries, lock)
            check_together(lock, packs)
            return Plan(request.action, lock, packs, frozen=request.frozen)
        if request.frozen:
            raise _frozen(reason)
    return _resolved(project, request, lock, reason)


def _resolved(
    project: OpenProject, request: InstallRequest, lock: Lockfile | None, reason: str | None
) -> Plan:
    file, registries = project.file, project.registries
    requirements = requested_skills(file, request, registries.files)
    edited = file.with_skills(requirements)
    question = resolution_request(project.folder, edited, lock, request)
    solved = solve_project(project.session, replace(registries, file=edited), question)
    if request.frozen and (lock is None or not solved.lock.same_set(lock)):
        raise _frozen(reason)
    notes: tuple[str, ...] = (f"re-locked: {reason}",) if reason and not request.resolves else ()
    if request.upgrade is not None:
        locked = solved.lock.skills
        known = registries.releases(locked.keys())
        notes += held_notes(edited, solved.lock.base.root, locked, known)
    final = settled_skills(requirements, solved.lock, request, file)
    return Plan(request.action, solved.lock, solved.packs, final, notes, request.frozen)


def _reweighted(project: OpenProject, request: InstallRequest, lock: Lockfile) -> Plan:
    """The lock with other weights. Needs no registry."""
    weighed = lock.with_weights(request.weights)
    if request.frozen and not weighed.same_set(lock):
        raise _frozen("the weights differ")
    packs = stored_packs(project.session, project.registries, lock)
    check_together(weighed, packs)
    root = known_root(weighed, {skill: pack.manifest for skill, pack in packs.items()})
    requirements = requested_skills(project.file, request, ())
    return Plan(request.action, weighed.with_root(root), packs, requirements, frozen=request.frozen)


def _frozen(reason: str | None) -> StateError:
    return StateError(
        f"the lock would change, and `--frozen` forbids it: {reason or 'the requirements differ'}",
        hint="run `skillpm lock` and commit skillpm.lock",
    )


def upgrade(session: Session, request: InstallRequest) -> ChangeResult:
    """As `install`, with the requested skills free to move; all of them if none is named."""
    if ProjectFolder(session.project).read_lock() is None:
        raise NotFoundError(
            "there is no skillpm.lock, so there is nothing to upgrade", hint="`skillpm install`"
        )
    return install(session, request)
