"""`install --from FILE`: make the environment what a bundle says, without any registry."""

from functools import partial
from pathlib import Path

from skillpm.archive.bundle import BundleFile, open_bundle
from skillpm.environment.edit import set_base, set_skills
from skillpm.environment.project import ProjectFolder, wishes_of
from skillpm.errors import StateError, UsageError
from skillpm.flows.change.init import init_project
from skillpm.flows.change.plan import ChangeResult, Guard, Plan
from skillpm.flows.change.run import ChangeCommand, run_change
from skillpm.flows.locking.verify_lock import UntrustedLock, checked_lock
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.protocol import check_is
from skillpm.flows.session.base_model import check_base
from skillpm.flows.session.session import Session, open_model
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
    folder, text = ProjectFolder(session.project), None
    if not folder.has_file:  # also where a cut-off `init` was about to write one
        if dry_run or frozen or guard is not None:
            folder.read_file()
        text = _make_project(session, bundle)
    command = ChangeCommand(
        _action(path),
        partial(_plan, bundle=bundle, frozen=frozen, text=text),
        dry_run=dry_run,
        guard=guard,
        fetch=partial(_fetch, session, bundle),
    )
    return run_change(session, command)


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


def _plan(project: OpenProject, bundle: BundleFile, *, frozen: bool, text: str | None) -> Plan:
    """The bundle's set, verified; a new project's file becomes `text`."""
    file, before = project.file, project.folder.read_lock()
    check_base(file.root, bundle.base.root, project.folder.file)
    if frozen and (before is None or not before.same_set(bundle.lock)):
        raise StateError(
            "`--frozen` keeps the lock as it is, but the bundle holds another set",
            hint=f"`skillpm install --from {bundle.path}` takes the bundle's",
        )
    requirements = wishes_of(bundle.project)
    if not frozen:
        file = file.with_skills(requirements).with_graft(bundle.project.graft)
    packs = {
        skill: check_is(bundle.packs[locked.digest], skill, locked.version)
        for skill, locked in bundle.lock.skills.items()
    }
    claim = UntrustedLock("the bundle", file, bundle.lock, packs, promises_root=True)
    lock = checked_lock(project.session, project.folder, claim)
    wanted = None if frozen else requirements
    action = _action(bundle.path)
    return Plan(action, lock, packs, wanted, frozen=frozen, fixed=True, text=text)
