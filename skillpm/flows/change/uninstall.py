"""`uninstall`: remove skills, and what only they required. Needs no registry."""

from functools import partial

from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder, requirements_table
from skillpm.errors import StateError
from skillpm.flows.change.plan import ChangeResult, Plan
from skillpm.flows.change.run import ChangeCommand, run_change
from skillpm.flows.locking.lock_check import not_installed, prune, stale_reason
from skillpm.flows.locking.solve import known_root
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import stored_packs
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile


def uninstall(
    session: Session, skills: tuple[SkillName, ...], *, dry_run: bool = False
) -> ChangeResult:
    """Remove skills from project file, lock and environment."""
    action = " ".join(["uninstall", *map(str, skills)])

    def completed_by(generation: Generation) -> bool:
        file = ProjectFolder(session.project).read_file()
        return generation.action == action and not file.project_requirements.keys() & {*skills}

    command = ChangeCommand(
        action,
        partial(_plan, skills=skills, action=action),
        dry_run=dry_run,
        completed_by=completed_by,
        verify=False,
    )
    return run_change(session, command)


def _plan(project: OpenProject, skills: tuple[SkillName, ...], action: str) -> Plan:
    file, lock = project.file, project.folder.read_lock()
    reason = stale_reason(file, lock)
    if lock is None or reason is not None:
        raise StateError(
            f"skillpm.lock is out of date: {reason}",
            hint="run `skillpm install` first",
        )
    for skill in skills:
        _check_removable(file, lock, skill)
    gone = {str(skill) for skill in skills}
    requirements = {
        name: table for name, table in requirements_table(file).items() if name not in gone
    }
    pruned = prune(lock, [skill for skill in file.project_requirements if str(skill) not in gone])
    pruned = _unweighed(pruned, skills)
    packs = stored_packs(project.session, project.registries, pruned)
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    root = known_root(pruned, manifests) or pruned.graft.root
    notes = tuple(_staying(skills, pruned))
    return Plan(action, pruned.with_root(root), packs, requirements, notes)


def _check_removable(file: ProjectFile, lock: Lockfile, skill: SkillName) -> None:
    if skill in file.project_requirements:
        return
    if skill not in lock.skills:
        raise not_installed(skill, lock.skills)
    raise StateError(
        f"`{skill}` is not in skillpm.toml; it is installed because {_dependents(lock, skill)} "
        "requires it",
        hint=f"uninstall what requires it; `{skill}` is then removed too",
    )


def _unweighed(lock: Lockfile, skills: tuple[SkillName, ...]) -> Lockfile:
    """A skill that stays because others require it loses the weight that skillpm.toml gave it."""
    kept = [
        locked.model_copy(update={"weight": 1.0}) if locked.skill in skills else locked
        for locked in lock.skill
    ]
    if kept == lock.skill:
        return lock
    return lock.model_copy(update={"skill": kept}).with_root(None)


def _staying(skills: tuple[SkillName, ...], pruned: Lockfile) -> list[str]:
    return [
        f"`{skill}` stays installed, because {_dependents(pruned, skill)} requires it"
        for skill in skills
        if skill in pruned.skills
    ]


def _dependents(lock: Lockfile, skill: SkillName) -> str:
    dependents = [
        locked.skill
        for locked in lock.skill
        if any(requirement.skill == skill for requirement in locked.requires)
    ]
    return " and ".join(f"`{name}`" for name in sorted(dependents))
