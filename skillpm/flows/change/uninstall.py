"""`uninstall`: take skills off; what nothing else needs goes with them. Needs no registry."""

from functools import partial

from skillpm.environment.project import ProjectFolder, wishes_of
from skillpm.errors import StateError
from skillpm.flows.change.plan import ChangeResult, Plan, apply_plan, completed, preview
from skillpm.flows.locking.lock_check import not_installed, prune, stale_reason
from skillpm.flows.locking.solve import known_root
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile


def uninstall(
    session: Session, skills: tuple[SkillName, ...], *, dry_run: bool = False
) -> ChangeResult:
    """Remove skills from project file, lock and environment."""
    project = ProjectFolder(session.project).require()
    action = " ".join(["uninstall", *map(str, skills)])
    if dry_run:
        registries = Registries(session, project.read_file())
        make = partial(_plan, session, project, registries, skills, action)
        return preview(project, registries, make)
    with project_transaction(session, project, action) as cut_off:
        registries = Registries(session, project.read_file())
        if (
            cut_off
            and cut_off.action == action
            and not registries.file.project_requirements.keys() & {*skills}
        ):
            return completed(project, cut_off)
        plan = _plan(session, project, registries, skills, action)
        return apply_plan(session, project, registries, plan)


def _plan(
    session: Session,
    project: ProjectFolder,
    registries: Registries,
    skills: tuple[SkillName, ...],
    action: str,
) -> Plan:
    file, lock = project.read_file(), project.read_lock()
    reason = stale_reason(file, lock)
    if lock is None or reason is not None:
        raise StateError(
            f"the lock does not fit skillpm.toml: {reason}",
            hint="`skillpm install` first brings them together",
        )
    for skill in skills:
        _check_removable(file, lock, skill)
    gone = {str(skill) for skill in skills}
    wishes = {name: wish for name, wish in wishes_of(file).items() if name not in gone}
    pruned = prune(lock, [skill for skill in file.project_requirements if str(skill) not in gone])
    pruned = _unweighed(pruned, skills)
    packs = stored_packs(session, registries, pruned)
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    root = known_root(pruned, manifests) or pruned.graft.root
    return Plan(action, pruned.with_root(root), packs, wishes, tuple(_staying(skills, pruned)))


def _check_removable(file: ProjectFile, lock: Lockfile, skill: SkillName) -> None:
    if skill in file.project_requirements:
        return
    if skill not in lock.skills:
        raise not_installed(skill, lock.skills)
    raise StateError(
        f"skillpm.toml does not ask for `{skill}`: it is there because {_who(lock, skill)} "
        "requires it",
        hint=f"uninstall what requires it, and `{skill}` goes too",
    )


def _unweighed(lock: Lockfile, skills: tuple[SkillName, ...]) -> Lockfile:
    """What stays for others stays as they require it: the weight was that of the wish."""
    kept = [
        one.model_copy(update={"weight": 1.0}) if one.skill in skills else one for one in lock.skill
    ]
    same = kept == lock.skill
    return lock if same else lock.model_copy(update={"skill": kept}).with_root(None)


def _staying(skills: tuple[SkillName, ...], pruned: Lockfile) -> list[str]:
    return [
        f"`{skill}` stays installed, because {_who(pruned, skill)} requires it"
        for skill in skills
        if skill in pruned.skills
    ]


def _who(lock: Lockfile, skill: SkillName) -> str:
    needing = [one.skill for one in lock.skill if any(n.skill == skill for n in one.requires)]
    return " and ".join(f"`{name}`" for name in sorted(needing))
