"""The one way of every change: plan, guard, verify, publish, switch.

`install`, `upgrade`, `uninstall`, `rollback`, `apply` and `install --from` differ in the plan that
they make, and in nothing that happens afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder
from skillpm.flows.change.plan import (
    ChangeResult,
    Guard,
    Plan,
    apply_plan,
    completed,
    guarded,
    publish_files,
)
from skillpm.flows.change.preview import preview
from skillpm.flows.change.verify_plan import verify_plan
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile


def _no_files(_folder: ProjectFolder) -> "tuple[PackFile, ...]":
    return ()


@dataclass(frozen=True)
class ChangeCommand:
    """A command that changes a project.

    `make_plan` decides what the environment becomes and writes nothing. `open_files` opens the pack
    files that the command installs, once the project is locked. `fetch` brings blobs into the store
    that no registry has. `completed_by` says whether a generation that recovery has just completed
    is what this command would make. A change that only removes skills need not `verify` packs.
    """

    action: str
    make_plan: Callable[[OpenProject], Plan]
    dry_run: bool = False
    guard: Guard | None = None
    open_files: "Callable[[ProjectFolder], tuple[PackFile, ...]]" = _no_files
    fetch: Callable[[], None] = lambda: None
    completed_by: Callable[[Generation], bool] = lambda _generation: False
    verify: bool = True


def run_change(session: Session, command: ChangeCommand) -> ChangeResult:
    """Carry out a change, or with `dry_run` say what it would do; a failed change leaves no trace.

    Holds the project's lock from before the plan until after the switch (law 4). Raises
    `NotFoundError` where there is no project, and whatever the plan, the guard or a registry
    raises.
    """
    folder = ProjectFolder(session.project).require()
    if command.dry_run:
        project = OpenProject.open(session, folder, command.open_files(folder))
        return preview(project, lambda: _guarded_plan(project, command))
    with project_transaction(session, folder, command.action) as recovered:
        if recovered is not None and command.completed_by(recovered):
            return completed(folder, recovered)
        project = OpenProject.open(session, folder, command.open_files(folder))
        plan = _guarded_plan(project, command)
        command.fetch()
        if command.verify:
            plan = verify_plan(project, plan)
        publish_files(project.registries)
        return apply_plan(project, plan)


def _guarded_plan(project: OpenProject, command: ChangeCommand) -> Plan:
    plan = command.make_plan(project)
    if command.guard is None:
        return plan
    command.fetch()
    return guarded(project, plan, command.guard)
