"""`apply`: carry out a saved plan exactly, or refuse it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from skillpm.archive.reader import PackFile, open_pack
from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder, basis_of
from skillpm.errors import DigestMismatchError, StateError
from skillpm.flows.change.plan import ChangeResult, Guard, Plan
from skillpm.flows.change.run import ChangeCommand, run_change
from skillpm.flows.locking.verify_lock import UntrustedLock, checked_lock
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.protocol import AnyPack, check_is
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.plan import SavedPlan, parse_plan

_VERBS = ("install", "uninstall", "upgrade", "rollback")


def apply_saved(
    session: Session, data: bytes, what: str, *, dry_run: bool = False, guard: Guard | None = None
) -> ChangeResult:
    """Carry out the plan in `data`; `what` names it in messages.

    Raises `StateError` if generation, lock, project file or base changed since it was made. The
    plan is untrusted: its set is verified against the packs' manifests.
    """
    saved = parse_plan(data, what)

    def completed_by(generation: Generation) -> bool:
        made = (saved.action, saved.basis.generation + 1)
        return (generation.action, generation.number) == made

    command = ChangeCommand(
        saved.action,
        partial(_plan, saved=saved),
        dry_run=dry_run,
        guard=guard,
        open_files=partial(_open_files, saved=saved),
        completed_by=completed_by,
    )
    return run_change(session, command)


def _check_fresh(project: ProjectFolder, saved: SavedPlan) -> None:
    changes = saved.basis.changes(basis_of(project))
    if changes:
        verb = saved.action.partition(" ")[0]
        again = f"skillpm {verb if verb in _VERBS else 'install'} … --dry-run --json > plan.json"
        raise StateError(
            f"the plan is out of date: {'; '.join(changes)}",
            hint=f"make a new one: `{again}`",
        )


def _open_files(folder: ProjectFolder, saved: SavedPlan) -> tuple[PackFile, ...]:
    """The plan's pack files, if the project is unchanged since the plan was made."""
    _check_fresh(folder, saved)
    packs: list[PackFile] = []
    for file in saved.files:
        pack = open_pack(Path(file.path))
        if pack.digest != file.digest:
            raise DigestMismatchError(
                f"`{file.path}`", expected=str(file.digest), found=str(pack.digest)
            )
        packs.append(pack)
    return tuple(packs)


def _plan(project: OpenProject, saved: SavedPlan) -> Plan:
    """The plan, after checking that it is one that skillpm could have made."""
    project.registries.check_files()
    requirements, file = saved.skills_table, project.file
    if requirements is not None:
        file = file.with_skills(requirements).with_graft(saved.lock.graft.table)
    before = project.folder.read_lock()
    if saved.frozen and (before is None or not before.same_set(saved.lock)):
        raise StateError(
            "the plan was made with `--frozen`, but its skills differ from skillpm.lock"
        )
    session = project.session
    packs = _packs(session, replace(project.registries, file=file), saved.lock)
    claim = UntrustedLock("the plan", file, saved.lock, packs)
    lock = checked_lock(session, project.folder, claim)
    return Plan(saved.action, lock, packs, requirements, frozen=saved.frozen, fixed=True)


def _packs(session: Session, registries: Registries, lock: Lockfile) -> dict[SkillName, AnyPack]:
    """The documents of each pack: from the plan's pack files, else the store or a registry."""
    files = {pack.digest: pack for pack in registries.files}
    here = {s: files[locked.digest] for s, locked in lock.skills.items() if locked.digest in files}
    for skill, pack in here.items():
        check_is(pack, skill, lock.skills[skill].version)
    others = [locked for locked in lock.skill if locked.skill not in here]
    return {
        **here,
        **stored_packs(session, registries, lock.model_copy(update={"skill": others})),
    }
