"""The one way of every change: plan, guard, verify, publish, switch.

`install`, `upgrade`, `uninstall`, `rollback`, `apply` and `install --from` differ in the plan that
they make, and in nothing that happens afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.quarantine import refuse_quarantined
from skillpm.flows.packs.restore import fetch_all
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.store.packs import fetch_pack

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
    is what this command would make. A change that only removes skills need not `verify` packs,
    and is made whatever is quarantined.
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
            plan = _verified_plan(project, plan)
        publish_files(project.registries)
        return apply_plan(project, plan)


def _guarded_plan(project: OpenProject, command: ChangeCommand) -> Plan:
    plan = command.make_plan(project)
    if command.verify:
        refuse_quarantined(project.registries, plan.lock)
    if command.guard is None:
        return plan
    command.fetch()
    return guarded(project, plan, command.guard)


def _verified_plan(project: OpenProject, plan: Plan) -> Plan:
    """Verify the plan's packs on the base; the result has notes on those that could not be.

    Packs that this home verified before cost one small file each. Others are fetched and decoded,
    which imports the tensor libraries. Raises `IntegrityError` for a false manifest, and what
    `graft` raises for a pack that cannot be grafted.
    """
    session, registries = project.session, project.registries
    waiting = session.verified.lacking(plan.lock)
    if not waiting or session.verify_packs is None:
        return plan
    for pack in registries.files:
        fetch_pack(session.store, pack.digest, pack)
    fetch_all(session, registries, plan.lock)
    notes = session.verify_packs(session, project.folder, plan.lock, waiting)
    return replace(plan, notes=(*plan.notes, *notes))
