"""`rollback`: a new generation with an old one's set, requirements and weights."""

from skillpm.environment.generation import Generation
from skillpm.environment.project import Project
from skillpm.environment.transaction import writing
from skillpm.errors import IntegrityError, NotFoundError
from skillpm.flows.catalogue import Registries
from skillpm.flows.change import Changed, Plan, apply_plan, preview, stored_packs
from skillpm.flows.setting import Setting
from skillpm.flows.solve import known_root


def rollback(setting: Setting, number: int | None, *, dry_run: bool = False) -> Changed:
    """Go back to generation `number`, by default the one before the current."""
    project = Project(setting.project)
    registries = Registries(setting, project.read_file())
    if dry_run:
        return preview(project, _plan(setting, project, registries, number))
    with writing(project, "rollback", timeout=setting.lock_timeout, say=setting.say):
        registries = Registries(setting, project.read_file())
        plan = _plan(setting, project, registries, number)
        return apply_plan(setting, project, registries, plan)


def _plan(setting: Setting, project: Project, registries: Registries, number: int | None) -> Plan:
    target = _target(project, number)
    root = project.read_file().root
    if target.base_root != root:
        raise IntegrityError(
            f"generation {target.number} is of base `{target.base_root}`, the project of `{root}`"
        )
    lock = target.lockfile
    packs = stored_packs(setting, registries, lock)
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    lock = lock.with_root(known_root(lock, manifests))
    return Plan(f"rollback {target.number}", lock, packs, target.wishes)


def _target(project: Project, number: int | None) -> Generation:
    current = project.current()
    if number is None and current == 0:
        raise NotFoundError(
            "the current generation is 0: there is nothing before it",
            hint="`skillpm history` lists the generations",
        )
    return project.generation(current - 1 if number is None else number)
