"""The log of events: every write, for `GET /events`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from skillpm_registry.catalog.actor import Actor, may_read
from skillpm_registry.db.engine import Database
from skillpm_registry.tables import event, principal


@dataclass(frozen=True, slots=True)
class EventSubject:
    """What a write changed: a skill, or something else by its name, and the facts about it."""

    subject: str
    namespace: str | None = None
    version: str | None = None
    digest: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A write with its position. `principal` is a name; None is the registry's own machine."""

    position: int
    kind: str
    at: datetime
    principal: str | None
    subject: EventSubject


def record_event(
    connection: Connection, kind: str, subject: EventSubject, actor: Actor, *, now: datetime
) -> None:
    """Insert an event in the transaction of the change that it describes."""
    connection.execute(insert(event), event_row(kind, subject, actor, now=now))


def event_row(kind: str, subject: EventSubject, actor: Actor, *, now: datetime) -> dict[str, Any]:
    """The values of an event's row."""
    return {
        "kind": kind,
        "at": now,
        "principal_id": actor.principal,
        "subject": subject.subject,
        "namespace": subject.namespace,
        "version": subject.version,
        "digest": subject.digest,
        "detail": dict(subject.detail),
    }


class Events:
    """The events of a catalogue, in the order of their positions."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def after(self, position: int, actor: Actor, *, limit: int = 1000) -> list[LoggedEvent]:
        """The events from a position on, in namespaces that the actor may read.

        The sequencer numbers all events from 0, without gaps. Events without a namespace are for
        administrators.
        """
        visible = may_read(event.c.namespace, actor)
        if actor.is_admin:
            visible = or_(visible, event.c.namespace.is_(None))
        query = (
            select(event, principal.c.name.label("by"))
            .outerjoin(principal, principal.c.id == event.c.principal_id)
            .where(event.c.position >= position, visible)
            .order_by(event.c.position)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [_event_of(row) for row in connection.execute(query)]


def _event_of(row: Any) -> LoggedEvent:
    subject = EventSubject(row.subject, row.namespace, row.version, row.digest, row.detail or {})
    return LoggedEvent(row.position, row.kind, row.at, row.by, subject)
