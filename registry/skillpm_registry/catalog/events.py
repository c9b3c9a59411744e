"""The log of events: every write, for `GET /events`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from skillpm_registry.catalog.actor import Actor
from skillpm_registry.db.engine import Database


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A write. `subject` is a skill, or what else was changed; `principal` is a name."""

    position: int
    kind: str
    at: datetime
    principal: str | None
    namespace: str | None
    subject: str
    version: str | None
    digest: str | None
    detail: Mapping[str, Any]


def record_event(  # noqa: PLR0913 - the columns of one row
    connection: Connection,
    kind: str,
    actor: Actor,
    *,
    now: datetime,
    subject: str,
    namespace: str | None = None,
    version: str | None = None,
    digest: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Insert an event in the transaction of the change that it describes."""
    raise NotImplementedError


class Events:
    """The events of a catalogue, in the order of their positions."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def after(self, position: int, actor: Actor, *, limit: int = 1000) -> list[LoggedEvent]:
        """The events from a position on, in namespaces that the actor may read.

        The sequencer numbers all events from 0, without gaps.
        """
        raise NotImplementedError
