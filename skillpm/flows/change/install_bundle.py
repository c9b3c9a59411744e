"""`install --from FILE`: install exactly what a bundle contains, without a registry."""

from functools import partial
from pathlib import Path

from skillpm.archive.bundle import BundleFile, open_bundle
from skillpm.environment.edit import set_base, set_skills
from skillpm.environment.project import ProjectFolder, requirements_table
from skillpm.errors import StateError, UsageError
from skillpm.flows.change.init import init_project
from skillpm.flows.change.plan import ChangeResult, Guard, Plan
from skillpm.flows.change.run import ChangeCommand, run_change
from skillpm.flows.locking.verify_lock import UntrustedLock, checked_lock
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.protocol import check_is
from skillpm.flows.session.base_model import check_base
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.words import base_option
from skillpm.store.packs import fetch_pack


def install_bundle(
    session: Session,
    path: Path,
    *,
    frozen: bool = False,
    dry_run: bool = False,
    guard: Guard | None = None,
) -> ChangeResult:
    """Install a bundle: its lock, its `[skills]` and `[graft]`, and its packs.

    In a folder without a project, a project is made for the session's base, from the bundle's
    project file. The bundle is untrusted: its lock is verified against the packs' manifests. With
    `frozen`, the project's lock must equal the bundle's. `dry_run`, `frozen` and `guard` need an
    existing project.
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
    """Make a project from the bundle's file without its `[skills]`; return the whole file's text.

    If the command is killed in between, an empty environment is left, with no pending skills.
    """
    if session.base is None:
        raise UsageError(
            f"there is no project in `{session.project}`, and a bundle does not contain the base",
            hint=f"add {base_option(bundle.base.name)}, if that is its base, {bundle.base.root}",
        )
    found = session.identify(open_model(session.base, session.say), "hashing base").root
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
            "the lock would change, and `--frozen` forbids it: the bundle contains other skills",
            hint=f"without `--frozen`: `skillpm install --from {bundle.path}`",
        )
    requirements = requirements_table(bundle.project)
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
