"""A session with files only, for tests that call flows directly."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from skillpm.flows.session.session import Session
from skillpm.spec.location import RegistryLocation

NOW = datetime(2024, 5, 17, tzinfo=UTC)


def _no_registry(_url: RegistryLocation, _create: bool) -> NoReturn:  # noqa: FBT001 - the protocol's form
    raise AssertionError


def _no_progress(_label: str, _total: int) -> Callable[[int], None]:
    return lambda _bytes: None


def session_in(folder: Path, *, workers: int = 2) -> Session:
    """A session whose project is `folder`, with its home in `folder`."""
    return Session(
        home=folder / "home",
        project=folder,
        registry=None,
        base=None,
        offline=True,
        now=NOW,
        created=NOW,
        workers=workers,
        lock_timeout=1.0,
        say=lambda _text: None,
        progress=_no_progress,
        connect=_no_registry,
    )
