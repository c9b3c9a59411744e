"""Changes that `Project` has no method for: a new project, a lock, a saved plan, a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client
from skillpm.api.guarding import probe_guard
from skillpm.api.values import Change

if TYPE_CHECKING:
    from skillpm.api.results import Bundled, Initialised, LockResult


def create_project(client: Client, base: Path) -> "Initialised":
    """Make the client's folder a project for the base, or complete a clone of a project.

    Raises `StateError` if the folder is a project already, `NotFoundError` if there is no model at
    `base`.
    """
    from skillpm.flows.change.init import init_project

    return init_project(client.session, base)


def lock_project(
    client: Client,
    *,
    check: bool = False,
    upgrade: bool = False,
    lowest: bool = False,
    allow_yanked: bool = False,
    accept_footprint: bool = False,
) -> "LockResult":
    """Write skillpm.lock with the smallest change; with `upgrade`, with the newest releases.

    With `check`, writes nothing, and the result says whether the lock is fresh.
    """
    from skillpm.flows.change.lock import lock_project as lock
    from skillpm.flows.change.request import InstallRequest

    request = InstallRequest(
        upgrade=() if upgrade else None,
        lowest=lowest,
        allow_yanked=allow_yanked,
        accept_footprint=accept_footprint,
    )
    return lock(client.session, request, check=check)


def apply_plan(
    client: Client,
    data: bytes,
    what: str,
    *,
    dry_run: bool = False,
    guard: bool = False,
    device: str = "cpu",
) -> Change:
    """Apply a plan that a dry run saved as JSON; `what` names it in messages.

    Raises `StateError` if the project has changed since the dry run.
    """
    from skillpm.flows.change.apply_plan import apply_saved

    checked = probe_guard(enabled=guard, device=device)
    return Change.of(apply_saved(client.session, data, what, dry_run=dry_run, guard=checked))


def install_bundle(
    client: Client,
    path: Path,
    *,
    frozen: bool = False,
    dry_run: bool = False,
    guard: bool = False,
    device: str = "cpu",
) -> Change:
    """Install the lock, requirements and packs of a bundle; makes a project if there is none."""
    from skillpm.flows.change.install_bundle import install_bundle as install

    checked = probe_guard(enabled=guard, device=device)
    return Change.of(install(client.session, path, frozen=frozen, dry_run=dry_run, guard=checked))


def write_bundle(client: Client, path: Path, generation: int | None = None) -> "Bundled":
    """Write the locked environment, or that of a generation, to one file for offline use."""
    from skillpm.flows.change.bundle import write_environment

    return write_environment(client.session, path, generation)
