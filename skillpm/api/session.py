"""Opening a session, which gives a flow its settings, clock, registries and callbacks."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.callbacks import SILENT, Callbacks
from skillpm.api.options import Options, resolve, trusted_registries
from skillpm.api.registries import account_at, connector, known_quarantines, tidy_registry
from skillpm.delta.kernels.choice import use_home
from skillpm.errors import UsageError
from skillpm.spec.config import Chosen

if TYPE_CHECKING:
    from skillpm.environment.project import ProjectFolder
    from skillpm.flows.session.session import Session
    from skillpm.index.remote.open import RemoteSettings
    from skillpm.spec.location import RegistryLocation
    from skillpm.spec.lockfile import LockedSkill, Lockfile
    from skillpm.spec.nearness import SignatureSurvey
    from skillpm.store.blobs import Store

OnClose = Callable[[Callable[[], object]], object]
"""Registers a function to call when the session ends; `ExitStack.callback` is one."""


def open_session(
    options: Options,
    on_close: OnClose,
    *,
    callbacks: Callbacks = SILENT,
    timeout: float = inf,
) -> "Session":
    """Open a session for these options.

    `timeout` limits a dependency resolution, in seconds. Raises `UsageError` for bad options,
    `SpecError` for bad config files.
    """
    from skillpm.flows.session.session import Session
    from skillpm.resolver.deadline import Deadline

    now, chosen = datetime.now(UTC), resolve(options)
    home, offline = options.home_folder, bool(chosen["offline"].value)
    use_home(home)
    registry = _located(chosen["registry"], options.project_folder)
    remote = partial(remote_settings, options, now, callbacks.say, offline=offline)
    session = Session(
        home=home,
        project=options.project_folder,
        registry=registry if _overrides_project(chosen["registry"]) else None,
        base=_base(chosen["base"]),
        offline=offline,
        now=now,
        created=_source_date() or now, workers=int(str(chosen["workers"].value or 1)),
        lock_timeout=float(str(chosen["lock-timeout"].value or 0)),
        say=callbacks.say, progress=callbacks.progress, confirm=callbacks.confirm,
        plan=callbacks.plan, connect=connector(on_close, home, remote),
        account=lambda location: account_at(location, remote()),
        quarantines=partial(known_quarantines, home),
        fallback=registry, own_registries=trusted_registries(options),
        tidy_registry=partial(tidy_registry, home / "registry"),
        start_deadline=lambda: Deadline.starting(time.monotonic, timeout),
        verify_packs=_verify_packs, survey=_survey,
    )  # fmt: skip
    on_close(session.close)
    return session


def remote_settings(
    options: Options, now: datetime, say: Callable[[str], None] = SILENT.say, *,
    offline: bool = False,
) -> "RemoteSettings":  # fmt: skip
    """What registries over HTTP need. `SKILLPM_TOKEN` is not for those of a project file."""
    from skillpm.index.credentials import VARIABLE, Credentials, StoredTokens
    from skillpm.index.remote.open import RemoteSettings
    from skillpm.spec.origin import WebOrigin

    home = options.home_folder
    origins = map(WebOrigin.of_location, trusted_registries(options))
    trusted = frozenset(origin for origin in origins if origin is not None)
    credentials = Credentials(StoredTokens(home), os.environ.get(VARIABLE), trusted)
    return RemoteSettings(home, credentials, now.timestamp(), offline=offline, say=say)


def _base(chosen: Chosen) -> Path | None:
    """The base that an option or a variable names; None leaves it to the project."""
    return Path(str(chosen.value)) if chosen.value and _overrides_project(chosen) else None


def _survey(store: "Store", lock: "Lockfile") -> "SignatureSurvey":
    """Compare router signatures. The import loads numpy, so it happens only here."""
    from skillpm.flows.packs.nearness import survey_signatures

    return survey_signatures(store, lock)


def _verify_packs(
    session: "Session", project: "ProjectFolder", lock: "Lockfile", waiting: "Sequence[LockedSkill]"
) -> tuple[str, ...]:
    """Verify packs on the base. The import loads torch, so it happens only here."""
    from skillpm.flows.packs.verify_on_base import verify_locked

    return verify_locked(session, project, lock, waiting)


def _located(chosen: Chosen, project: Path) -> "RegistryLocation | None":
    """The chosen registry. A path in skillpm.toml is relative to the project."""
    from skillpm.flows.session.bindings import resolved
    from skillpm.spec.location import RegistryLocation

    if not isinstance(chosen.value, RegistryLocation):
        return None
    outside = _overrides_project(chosen) or not chosen.source.startswith(str(project))
    return resolved(chosen.value, Path.cwd() if outside else project)


def _overrides_project(chosen: Chosen) -> bool:
    """Whether the value comes from an argument or an environment variable."""
    return chosen.source.startswith(("--", "SKILLPM_"))


def _source_date() -> datetime | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as problem:
        raise UsageError(
            f"SOURCE_DATE_EPOCH should be a number of seconds since 1970, but is {text!r}"
        ) from problem
