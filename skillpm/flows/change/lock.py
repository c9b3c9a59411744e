"""`lock`: resolve and write skillpm.lock; install nothing."""

from dataclasses import dataclass

from skillpm.environment.project import ProjectFolder
from skillpm.flows.change.plan import keep_root
from skillpm.flows.change.request import InstallRequest, resolution_request
from skillpm.flows.locking.lock_merge import read_or_merge
from skillpm.flows.locking.solve import solve_project
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session


@dataclass(frozen=True)
class LockResult:
    """What `lock` did, or what `lock --check` found. `reason` says why the lock is out of date."""

    fresh: bool
    changed: bool
    reason: str | None


def lock_project(session: Session, request: InstallRequest, *, check: bool) -> LockResult:
    """Lock again with the smallest change; with `check`, only say whether that is needed.

    A request for `upgrade`, `lowest` or `allow_yanked` resolves even if the lock is up to date.
    """
    project = ProjectFolder(session.project)
    if check:
        _, reason = read_or_merge(project, project.read_file())
        return LockResult(reason is None, changed=False, reason=reason)
    project.require()
    with project_transaction(session, project, "lock"):
        file = project.read_file()
        lock, reason = read_or_merge(project, file)
        if reason is None and not request.resolves:
            return LockResult(fresh=True, changed=False, reason=None)
        registries = Registries(session, file)
        solved = solve_project(
            session, registries, resolution_request(project, file, lock, request)
        )
        keep_root(project, solved.lock, lock)
        changed = reason is not None or lock is None or not lock.same_set(solved.lock)
        return LockResult(fresh=True, changed=changed, reason=reason)
