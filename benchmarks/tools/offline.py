"""A session without registry, progress and network, with a fixed clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from skillpm.flows.session.session import Session
from skillpm.index.empty import EmptyIndex

if TYPE_CHECKING:
    from pathlib import Path


def setting_at(home: Path, project: Path) -> Session:
    """A session with one worker, so that memory and bytes are the same everywhere."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Session(
        home=home,
        project=project,
        registry=None,
        base=None,
        offline=True,
        now=now,
        created=now,
        workers=1,
        lock_timeout=10.0,
        say=lambda _text: None,
        progress=lambda _label, _total: lambda _bytes: None,
        connect=lambda _url, _create: EmptyIndex(),
    )
