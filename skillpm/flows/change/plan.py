"""A change of an environment: the plan, and carrying it out."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from skillpm.environment.edit import edit_project
from skillpm.environment.generation import Generation, Installed, differences, new_packs
from skillpm.environment.known_projects import KnownProjects
from skillpm.environment.project import ProjectFolder, basis_of, requirements_table
from skillpm.environment.transaction import commit, update_file
from skillpm.errors import StateError
from skillpm.flows.change.forecast import accept_forecast
from skillpm.flows.change.precedence import (
    check_confirmed,
    check_sound,
    has_signature,
    settled_order,
)
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.protocol import AnyPack
from skillpm.flows.packs.registries import Registries
from skillpm.flows.packs.restore import fetch_all
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.forecast import Forecast
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.plan import Basis, SavedPlan
from skillpm.spec.project import parse_project
from skillpm.store.packs import load_pack


@dataclass(frozen=True)
class ChangeResult:
    """The result of a change, or with `dry_run` of a plan, which is then in `saved`.

    `fetched` is the number of bytes that were downloaded, `size` that of all packs added or changed
    and `before` what was installed. `forecast` computes what a merge of the set would cost.
    `unverified` are the skills whose manifests were never checked on this base. `moved` is true if
    there is a new generation, even if only `[graft]` changed.
    """

    generation: int
    added: tuple[Installed, ...]
    removed: tuple[Installed, ...]
    changed: tuple[Installed, ...]
    kept: int
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    saved: SavedPlan | None = None
    fetched: int = 0
    size: int = 0
    before: Mapping[SkillName, Installed] = field(default_factory=dict)
    forecast: Callable[[Collection[SkillName] | None], Forecast] | None = None
    moved: bool = False
    unverified: frozenset[SkillName] = frozenset()


@dataclass(frozen=True)
class Plan:
    """What the environment becomes.

    `requirements` is the new `[skills]` table; None keeps the table. With it, `[graft]` becomes
    what the lock says. A `frozen` plan does not write the lock. A `fixed` plan comes from a
    generation, a saved plan or a bundle, so no edit of skillpm.toml can change it. `text` is the
    whole project file of a new project.
    """

    action: str
    lock: Lockfile
    packs: Mapping[SkillName, AnyPack]
    requirements: Mapping[str, object] | None = None
    notes: tuple[str, ...] = ()
    frozen: bool = False
    text: str | None = None
    fixed: bool = False
    is_guarded: bool = False


Guard = Callable[[OpenProject, Plan], tuple[str, ...]]
"""Checks a plan before the switch: returns notes, or raises. It may fetch blobs."""


def guarded(project: OpenProject, plan: Plan, guard: Guard) -> Plan:
    """The plan with the notes of the guard. Raises what the guard raises."""
    basis = basis_of(project.folder)
    notes = guard(project, plan)
    check_unchanged(project.folder, basis)
    return replace(plan, notes=(*plan.notes, *notes), is_guarded=True)


def check_unchanged(project: ProjectFolder, basis: Basis) -> None:
    """Raise `StateError` if the project changed since a plan was made from it (law 4)."""
    changes = basis.changes(basis_of(project))
    if changes:
        raise StateError(
            f"the project changed while the command was running: {'; '.join(changes)}",
            hint="run the command again",
        )


def publish_files(registries: Registries) -> None:
    """Publish the pack files to the embedded registry, so that the lock can refer to it."""
    for pack in registries.files:
        registries.publish(registries.file.registry_of(pack.manifest.skill), pack)


def installed_of(plan: Plan) -> list[Installed]:
    """The entries of the generation that a plan makes."""
    return [
        Installed(
            skill=skill,
            version=locked.version,
            digest=locked.digest,
            scheme=plan.packs[skill].manifest.compression.scheme,
            registry=locked.registry,
            payload_bytes=plan.packs[skill].manifest.compression.payload_bytes,
            weight=locked.weight,
        )
        for skill, locked in plan.lock.skills.items()
    ]


def planned_requirements(project: OpenProject, plan: Plan) -> dict[str, object]:
    """`[skills]` as the plan leaves it."""
    if plan.requirements is None:
        return requirements_table(project.file)
    return requirements_table(project.file.with_skills(plan.requirements))


def _edited_text(project: OpenProject, plan: Plan) -> str:
    """The project file as the plan leaves it: comments and order stay."""
    text = plan.text or project.folder.read_text(project.folder.file)
    if plan.requirements is None:
        return text
    graft = parse_project(plan.text).graft if plan.text else project.file.graft
    return edit_project(text, plan.requirements, before=graft, after=plan.lock.graft.table)


def apply_plan(project: OpenProject, plan: Plan) -> ChangeResult:
    """Fetch, then switch. Nothing changes where a blob cannot be had or is damaged.

    A plan that changes nothing uses no generation number. Raises `SpecError` if the probes of a new
    pack cannot be read.
    """
    session, folder = project.session, project.folder
    current = folder.generation()
    new = new_packs(current.installed, plan.lock.skills)
    plan = _with_forecast(session, plan, new)
    fetch_all(session, project.registries, plan.lock)
    for digest in new.values():
        load_pack(session.store, digest).probes()
    plan = _with_precedence(project, current, plan, new)
    KnownProjects(session.home).remember(folder.folder, plan.lock.digests)
    if not folder.has_environment:
        commit(folder, current.model_copy(update={"created": _created(session)}), {})
    return _switch(project, current, plan)


def _created(session: Session) -> str:
    return session.now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _switch(project: OpenProject, current: Generation, plan: Plan) -> ChangeResult:
    """Make the new generation current; project file and lock follow under the journal."""
    session, folder = project.session, project.folder
    skills = installed_of(plan)
    parts = differences(current.installed, {skill.skill: skill for skill in skills})
    kept = len(skills) - len(parts[0]) - len(parts[2])
    text, requirements = _edited_text(project, plan), planned_requirements(project, plan)
    fetched = sum(session.store.taken.values())
    same = plan.lock.same_set(current.lockfile)
    if not any(parts) and requirements == current.wishes and same:
        update_file(folder, folder.file, text)
        if not plan.frozen:
            keep_root(folder, plan.lock, folder.read_lock())
        return ChangeResult(current.number, *parts, kept, notes=plan.notes, fetched=fetched)
    generation = Generation(
        number=current.number + 1,
        created=_created(session),
        action=plan.action,
        base_root=plan.lock.base.root,
        skills=skills,
        wishes=requirements,
        lock=plan.lock.with_root(None).dumps(),
    )
    locked = {} if plan.frozen else {folder.lock_file: plan.lock.dumps()}
    commit(folder, generation, {folder.file: text, **locked})
    size = sum(plan.lock.skills[skill.skill].size for skill in (*parts[0], *parts[2]))
    return ChangeResult(
        generation.number,
        *parts,
        kept,
        notes=plan.notes,
        fetched=fetched,
        size=size,
        before=current.installed,
        moved=True,
    )


def _with_precedence(
    project: OpenProject, current: Generation, plan: Plan, new: dict[SkillName, Digest]
) -> Plan:
    """The plan with the precedence of near-equal skills, and a warning for each pair.

    Raises as `check_sound` and `check_confirmed` do. A frozen plan records nothing.
    """
    session = project.session
    if not has_signature(load_pack(session.store, digest) for digest in new.values()):
        return plan
    survey = session.survey(session.store, plan.lock)
    check_sound(survey, new, plan.action)
    file = project.file
    requirements = (
        requirements_table(file) if plan.requirements is None else dict(plan.requirements)
    )
    asked = [
        SkillName.parse(n)
        for n in dict.fromkeys((*file.skills, *requirements))
        if n in requirements
    ]
    before = current.lockfile.skills
    order = settled_order(survey.pairs, plan.lock, before, asked)
    notes = check_confirmed(survey, order, new, session.confirm)
    if plan.frozen or order == tuple(plan.lock.graft.precedence):
        return replace(plan, notes=(*plan.notes, *notes))
    graft = plan.lock.graft.model_copy(update={"precedence": list(order)})
    lock = plan.lock.model_copy(update={"graft": graft})
    return replace(plan, lock=lock, requirements=requirements, notes=(*plan.notes, *notes))


def _with_forecast(session: Session, plan: Plan, new: dict[SkillName, Digest]) -> Plan:
    """The plan with a warning for each skill that the merge is forecast to harm.

    Skipped after the guard, which has measured the merge. Raises `StateError` if the user declines.
    """
    if plan.is_guarded or not new:
        return plan
    notes = accept_forecast(plan.lock, plan.packs, new, session.confirm)
    return replace(plan, notes=(*plan.notes, *notes))


def completed(project: ProjectFolder, generation: Generation) -> ChangeResult:
    """The result of a killed command whose generation recovery has completed."""
    after = generation.installed
    before = project.generation(generation.number - 1).installed
    parts = differences(before, after)
    kept = len(after) - len(parts[0]) - len(parts[2])
    return ChangeResult(generation.number, *parts, kept, before=before)


def keep_root(project: ProjectFolder, lock: Lockfile, before: Lockfile | None) -> None:
    """Write only the lock; if the set is the same, keep the root that a graft recorded."""
    if before is not None and before.same_set(lock):
        lock = lock.with_root(lock.graft.root or before.graft.root)
    update_file(project, project.lock_file, lock.dumps())
