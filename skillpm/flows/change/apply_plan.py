"""`apply`: carry out a saved plan, exactly, or refuse it."""

from dataclasses import replace
from pathlib import Path

from skillpm.archive.reader import PackFile, open_pack
from skillpm.environment.project import ProjectFolder, basis_of
from skillpm.errors import DigestMismatchError, StateError
from skillpm.flows.change.plan import (
    ChangeResult,
    Guard,
    Plan,
    apply_plan,
    asking,
    completed,
    guarded,
    preview,
    publish_files,
)
from skillpm.flows.change.verify_plan import verify_plan
from skillpm.flows.locking.verify_lock import UntrustedLock, checked_lock
from skillpm.flows.packs.protocol import AnyPack, check_is
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.plan import SavedPlan, parse_plan
from skillpm.spec.project import parse_project

_VERBS = ("install", "uninstall", "upgrade", "rollback")


def apply_saved(
    session: Session, data: bytes, what: str, *, dry_run: bool = False, guard: Guard | None = None
) -> ChangeResult:
    """Make the environment what the plan says.

    Raises `StateError` where generation, lock, project file or base changed since it was made. The
    plan may come from anyone: its set is verified against the packs' own manifests.
    """
    saved = parse_plan(data, what)
    project = ProjectFolder(session.project).require()
    if dry_run:
        _check_fresh(project, saved)
        registries = _registries(session, project, saved)
        return preview(
            project, registries, lambda: _plan(session, project, registries, saved, guard)
        )
    with project_transaction(session, project, saved.action) as cut_off:
        after = saved.basis.generation + 1
        if cut_off and (cut_off.action, cut_off.number) == (saved.action, after):
            return completed(project, cut_off)
        _check_fresh(project, saved)
        registries = _registries(session, project, saved)
        plan = _plan(session, project, registries, saved, guard)
        plan = verify_plan(session, project, registries, plan)
        publish_files(registries)
        return apply_plan(session, project, registries, plan)


def _check_fresh(project: ProjectFolder, saved: SavedPlan) -> None:
    changes = saved.basis.changes(basis_of(project))
    if changes:
        verb = saved.action.partition(" ")[0]
        again = f"skillpm {verb if verb in _VERBS else 'install'} … --dry-run --json > plan.json"
        raise StateError(
            f"the plan is stale: {'; '.join(changes)}", hint=f"make it again: `{again}`"
        )


def _registries(session: Session, project: ProjectFolder, saved: SavedPlan) -> Registries:
    packs: list[PackFile] = []
    for file in saved.files:
        pack = open_pack(Path(file.path))
        if pack.digest != file.digest:
            raise DigestMismatchError(
                f"`{file.path}`", expected=str(file.digest), found=str(pack.digest)
            )
        packs.append(pack)
    registries = Registries(session, project.read_file(), tuple(packs))
    registries.check_files()
    return registries


def _plan(
    session: Session,
    project: ProjectFolder,
    registries: Registries,
    saved: SavedPlan,
    guard: Guard | None,
) -> Plan:
    """The plan, after checking that it is one that skillpm could have made, and any guard."""
    text = project.read_text(project.file)
    wishes = saved.skills_table
    file = parse_project(text if wishes is None else asking(text, wishes, saved.lock))
    registries = replace(registries, file=file)
    before = project.read_lock()
    if saved.frozen and (before is None or not before.same_set(saved.lock)):
        raise StateError("the plan is frozen, but its set is not the one in skillpm.lock")
    packs = _packs(session, registries, saved.lock)
    lock = checked_lock(session, project, UntrustedLock("the plan", file, saved.lock, packs))
    plan = Plan(saved.action, lock, packs, wishes, frozen=saved.frozen, fixed=True)
    return guarded(session, project, registries, plan, guard)


def _packs(session: Session, registries: Registries, lock: Lockfile) -> dict[SkillName, AnyPack]:
    """The documents of the set: from the plan's pack files, else the store or a registry."""
    files = {pack.digest: pack for pack in registries.files}
    here = {s: files[one.digest] for s, one in lock.skills.items() if one.digest in files}
    for skill, pack in here.items():
        check_is(pack, skill, lock.skills[skill].version)
    others = [one for one in lock.skill if one.skill not in here]
    return {
        **here,
        **stored_packs(session, registries, lock.model_copy(update={"skill": others})),
    }
