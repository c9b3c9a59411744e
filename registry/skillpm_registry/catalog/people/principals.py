"""Principals: users and workflows. Their names are never reused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, insert, select, update

from skillpm.errors import NotFoundError
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.catalog.people.values import PrincipalRow
from skillpm_registry.db.engine import Database
from skillpm_registry.tables.people import principal, token

USER, PUBLISHER = "user", "publisher"
COLUMNS = (principal.c.id, principal.c.name, principal.c.kind, principal.c.is_admin)


class UnknownPrincipalError(NotFoundError):
    """No principal has this name, or it was disabled."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no principal `{name}` in this registry",
            hint=f"`skillpm registry token create --for {name}` creates it with its first token",
        )
        self.name = name


def principal_of(row: Row[Any] | Sequence[Any]) -> PrincipalRow:
    """The principal in the first columns of a row: those of `COLUMNS`."""
    identifier, name, kind, is_admin = row[:4]
    return PrincipalRow(identifier, name, kind, bool(is_admin))


def find_principal(connection: Connection, name: str) -> PrincipalRow | None:
    """An enabled principal by name."""
    query = select(*COLUMNS).where(principal.c.name == name, principal.c.disabled_at.is_(None))
    row = connection.execute(query).first()
    return None if row is None else principal_of(row)


def known_principal(connection: Connection, name: str) -> PrincipalRow:
    """An enabled principal by name. Raises `UnknownPrincipalError`."""
    row = find_principal(connection, name)
    if row is None:
        raise UnknownPrincipalError(name)
    return row


def make_principal(
    connection: Connection, name: str, actor: Actor, *, now: datetime, kind: str = USER
) -> PrincipalRow:
    """The principal with a name, which is created if it is new.

    Raises `UnknownPrincipalError` for a disabled one.
    """
    existing = find_principal(connection, name)
    if existing is not None:
        return existing
    if connection.scalar(select(exists().where(principal.c.name == name))):
        raise UnknownPrincipalError(name)
    connection.execute(
        insert(principal).values(name=name, kind=kind, is_admin=False, created_at=now)
    )
    subject = EventSubject(name, detail={"kind": kind})
    record_event(connection, "principal", subject, actor, now=now)
    return known_principal(connection, name)


class Principals:
    """The principals of a registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make_administrator(self, name: str, actor: Actor, *, now: datetime) -> PrincipalRow:
        """The principal with a name, as an administrator of the registry."""
        with self._database.writing() as connection:
            row = make_principal(connection, name, actor, now=now)
            if not row.is_admin:
                change = update(principal).where(principal.c.id == row.id)
                connection.execute(change.values(is_admin=True))
                record_event(connection, "administrator", EventSubject(name), actor, now=now)
            return known_principal(connection, name)

    def has_administrator_token(self, now: datetime) -> bool:
        """Whether an administrator has a valid token with the action `admin`."""
        valid = and_(token.c.revoked_at.is_(None), token.c.expires_at > now)
        of_admin = and_(principal.c.is_admin, principal.c.disabled_at.is_(None))
        query = select(token.c.actions).join(principal).where(valid, of_admin)
        with self._database.reading() as connection:
            return any("admin" in actions for actions in connection.scalars(query))
