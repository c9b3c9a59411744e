"""`install --from FILE`: make the environment what a bundle says, without any registry."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from skillpm.archive.bundle import BundleFile, open_bundle
from skillpm.environment.edit import set_base, set_graft, set_skills
from skillpm.environment.project import ProjectFolder, wishes_of
from skillpm.errors import StateError, UsageError
from skillpm.flows.change.init import init_project
from skillpm.flows.change.plan import ChangeResult, Guard, Plan, apply_plan, guarded, preview
from skillpm.flows.change.verify_plan import verify_plan
from skillpm.flows.locking.verify_lock import UntrustedLock, checked_lock
from skillpm.flows.packs.protocol import check_is
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.base_model import check_base
from skillpm.flows.session.cleanup import project_transaction
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.project import parse_project
from skillpm.store.packs import fetch_pack


def install_bundle(
    session: Session,
    path: Path,
    *,
    frozen: bool = False,
    dry_run: bool = False,
    guard: Guard | None = None,
) -> ChangeResult:
    """Install exactly what a bundle holds: its lock, its `[skills]` and `[graft]`, its packs.

    In a folder that is no project, one is made of the base that the person names, with the rest of
    the bundle's project file. The bundle may come from anyone: its lock is verified against the
    packs' own manifests. With `frozen` the lock that is there must be the bundle's. A `guard` needs
    a project that is there: what it stops has made none.
    """
    bundle = open_bundle(path)
    project, text = ProjectFolder(session.project), None
    if not project.has_file:  # also where a cut-off `init` was about to write one
        if dry_run or frozen or guard is not None:
            project.read_file()
        text = _make_project(session, bundle)
    if dry_run:
        registries = Registries(session, project.read_file())
        make = partial(_guarded, session, project, bundle, frozen=frozen, guard=guard)
        return preview(project, registries, make)
    with project_transaction(session, project, _action(path)):
        plan = _guarded(session, project, bundle, frozen=frozen, guard=guard)
        plan = replace(plan, text=text)
        _fetch(session, bundle)
        registries = Registries(session, project.read_file())
        plan = verify_plan(session, project, registries, plan)
        return apply_plan(session, project, registries, plan)


def _action(path: Path) -> str:
    return f"install --from {path.name}"


def _make_project(session: Session, bundle: BundleFile) -> str:
    """Begin with the bundle's project file, but for its `[skills]`; give all of it, for later.

    So what a kill leaves in between is an empty environment, and not one that asks for skills.
    """
    if session.base is None:
        raise UsageError(
            f"there is no project in `{session.project}`, and the bundle does not hold the base",
            hint=f"`skillpm install --from {bundle.path} --base PATH`, where PATH is "
            f"{bundle.base.name}, {bundle.base.root}",
        )
    found = session.identify(open_model(session.base), "hashing base").root
    check_base(found, bundle.base.root, session.base)
    made = init_project(session, session.base, set_skills(bundle.project_text, {}))
    return set_base(bundle.project_text, made.base)


def _fetch(session: Session, bundle: BundleFile) -> None:
    for digest, pack in bundle.packs.items():
        fetch_pack(session.store, digest, pack)


def _guarded(
    session: Session,
    project: ProjectFolder,
    bundle: BundleFile,
    *,
    frozen: bool,
    guard: Guard | None,
) -> Plan:
    """The plan, which the guard has passed where one is asked for: on the bundle's own packs."""
    plan = _plan(session, project, bundle, frozen=frozen)
    if guard is None:
        return plan
    _fetch(session, bundle)
    return guarded(session, project, Registries(session, project.read_file()), plan, guard)


def _plan(session: Session, project: ProjectFolder, bundle: BundleFile, *, frozen: bool) -> Plan:
    text, before = project.read_text(project.file), project.read_lock()
    check_base(project.read_file().root, bundle.base.root, project.file)
    if frozen and (before is None or not before.same_set(bundle.lock)):
        raise StateError(
            "`--frozen` keeps the lock as it is, but the bundle holds another set",
            hint=f"`skillpm install --from {bundle.path}` takes the bundle's",
        )
    wishes = wishes_of(bundle.project)
    asked = text if frozen else set_graft(set_skills(text, wishes), bundle.project.graft)
    file = parse_project(asked)
    packs = {
        skill: check_is(bundle.packs[one.digest], skill, one.version)
        for skill, one in bundle.lock.skills.items()
    }
    claim = UntrustedLock("the bundle", file, bundle.lock, packs, promises_root=True)
    lock = checked_lock(session, project, claim)
    wanted = None if frozen else wishes
    return Plan(_action(bundle.path), lock, packs, wanted, frozen=frozen, fixed=True)
