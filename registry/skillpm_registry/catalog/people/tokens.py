"""Tokens. The registry stores their hashes; the secrets are shown once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, select, update

from skillpm.errors import NotFoundError
from skillpm.spec.digests import Digest
from skillpm.spec.registry_people import Action
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.catalog.people.principals import COLUMNS, make_principal, principal_of
from skillpm_registry.catalog.people.values import TokenRow
from skillpm_registry.db.engine import Database
from skillpm_registry.tables.people import principal, token

LIST_LIMIT = 1000
_COLUMNS = (
    *COLUMNS, token.c.id, token.c.actions, token.c.patterns, token.c.single_use,
    token.c.created_at, token.c.expires_at, token.c.note, token.c.revoked_at, token.c.claims,
)  # fmt: skip


class UnknownTokenError(NotFoundError):
    """No token has this identifier, or it belongs to another principal."""

    def __init__(self, identifier: str) -> None:
        super().__init__(
            f"there is no token `{identifier}`", hint="`skillpm registry token list` lists yours"
        )
        self.identifier = identifier


@dataclass(frozen=True, slots=True)
class TokenGiven:
    """The values of a new token."""

    id: str
    digest: Digest
    principal: str
    actions: Sequence[Action]
    patterns: Sequence[str]
    expires: datetime
    note: str = ""
    single_use: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)


class Tokens:
    """The tokens of a registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def valid(self, digest: Digest, now: datetime) -> TokenRow | None:
        """The token with this hash. None if it has ended, or if its principal is disabled."""
        with self._database.reading() as connection:
            row = connection.execute(_VALID, {"digest": str(digest), "now": now}).first()
        return None if row is None else _token_of(row)

    def add(self, given: TokenGiven, actor: Actor, *, now: datetime) -> TokenRow:
        """Store a new token. Its principal is created if it is new."""
        with self._database.writing() as connection:
            owner = make_principal(connection, given.principal, actor, now=now)
            connection.execute(
                insert(token).values(
                    id=given.id,
                    hash=str(given.digest),
                    principal_id=owner.id,
                    note=given.note,
                    actions=list(given.actions),
                    patterns=list(given.patterns),
                    single_use=given.single_use,
                    created_at=now,
                    expires_at=given.expires,
                    claims=dict(given.claims) or None,
                )
            )
            rights = {"actions": list(given.actions), "patterns": list(given.patterns)}
            subject = EventSubject(given.id, detail={**rights, "principal": given.principal})
            record_event(connection, "token", subject, actor, now=now)
            return _token_of(connection.execute(_select().where(token.c.id == given.id)).one())

    def all(self, now: datetime, principal_id: int | None = None) -> list[TokenRow]:
        """The newest valid tokens of a principal, or of all principals: at most 1,000."""
        query = _select().where(token.c.expires_at > now, token.c.revoked_at.is_(None))
        if principal_id is not None:
            query = query.where(token.c.principal_id == principal_id)
        query = query.order_by(token.c.created_at.desc(), token.c.id).limit(LIST_LIMIT)
        with self._database.reading() as connection:
            return [_token_of(row) for row in connection.execute(query)]

    def revoke(
        self, identifier: str, actor: Actor, *, now: datetime, principal_id: int | None = None
    ) -> TokenRow:
        """Revoke a token; with `principal_id`, only one of that principal. Idempotent.

        Raises `UnknownTokenError`.
        """
        query = _select().where(token.c.id == identifier)
        if principal_id is not None:
            query = query.where(token.c.principal_id == principal_id)
        with self._database.writing() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise UnknownTokenError(identifier)
            unrevoked = update(token).where(token.c.id == identifier, token.c.revoked_at.is_(None))
            if connection.execute(unrevoked.values(revoked_at=now)).rowcount:
                subject = EventSubject(identifier)
                record_event(connection, "token-revoked", subject, actor, now=now)
            return _token_of(connection.execute(query).one())

    def spend(self, identifier: str, now: datetime) -> bool:
        """Use a token of single use. Returns false if it was used before."""
        unused = update(token).where(token.c.id == identifier, token.c.used_at.is_(None))
        with self._database.writing() as connection:
            return bool(connection.execute(unused.values(used_at=now)).rowcount)

    def restore(self, identifier: str) -> None:
        """Undo `spend`, because nothing was published."""
        with self._database.writing() as connection:
            change = update(token).where(token.c.id == identifier)
            connection.execute(change.values(used_at=None))


def _select() -> Select[Any]:
    return select(*_COLUMNS).select_from(
        token.join(principal, token.c.principal_id == principal.c.id)
    )


_VALID = _select().where(
    token.c.hash == bindparam("digest"),
    token.c.expires_at > bindparam("now"),
    token.c.revoked_at.is_(None),
    token.c.used_at.is_(None) | ~token.c.single_use,
    principal.c.disabled_at.is_(None),
)
"""A token by its hash. Built once: every request with a token reads it."""


def _token_of(row: Row[Any]) -> TokenRow:
    (_, _, _, _, identifier, actions, patterns, single_use, created, expires, note, revoked,
     claims) = tuple(row)  # fmt: skip
    return TokenRow(
        identifier, principal_of(row), frozenset(actions), tuple(patterns), bool(single_use),
        created, expires, note, revoked is not None, claims or {},
    )  # fmt: skip
