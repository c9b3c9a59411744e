"""Rules of trusted publishing, and the OIDC tokens that were exchanged already."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError as DuplicateError

from skillpm.errors import NotFoundError
from skillpm.spec.registry_people import Role
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.catalog.people.principals import (
    COLUMNS,
    PUBLISHER,
    make_principal,
    principal_of,
)
from skillpm_registry.catalog.people.values import RuleRow
from skillpm_registry.db.engine import Database
from skillpm_registry.refusals import UnknownNamespaceError
from skillpm_registry.tables.people import (
    jti_seen,
    namespace,
    namespace_member,
    principal,
    publisher_rule,
    token,
)

RULES_LIMIT = 10_000
_COLUMNS = (
    *COLUMNS, publisher_rule.c.id, publisher_rule.c.namespace, publisher_rule.c.pattern,
    publisher_rule.c.issuer, publisher_rule.c.claims, publisher_rule.c.publishes_new,
    publisher_rule.c.created_at,
)  # fmt: skip


class UnknownRuleError(NotFoundError):
    """A namespace has no such rule of trusted publishing."""

    def __init__(self, name: str, identifier: str) -> None:
        super().__init__(
            f"the namespace `{name}` has no rule `{identifier}`",
            hint=f"`skillpm registry namespace list {name}` lists its rules",
        )
        self.name = name
        self.identifier = identifier


@dataclass(frozen=True, slots=True)
class RuleGiven:
    """The values of a new rule."""

    namespace: str
    pattern: str
    issuer: str
    claims: Mapping[str, str]
    publishes_new: bool = False


class Publishers:
    """The rules of trusted publishing of a registry.

    The tokens that a namespace's rules give belong to one principal of that namespace, `ci:NAME`,
    which is a member while there are rules.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, given: RuleGiven, actor: Actor, *, now: datetime) -> RuleRow:
        """Add a rule. Raises `UnknownNamespaceError`."""
        name = given.namespace
        with self._database.writing() as connection:
            if connection.scalar(select(namespace.c.name).where(namespace.c.name == name)) is None:
                raise UnknownNamespaceError(name)
            owner = make_principal(connection, f"ci:{name}", actor, now=now, kind=PUBLISHER)
            values = {**asdict(given), "claims": dict(given.claims)}
            by = {"principal_id": owner.id, "created_at": now, "created_by": actor.principal}
            inserted = insert(publisher_rule).values({**values, **by})
            identifier = connection.execute(inserted.returning(publisher_rule.c.id)).scalar_one()
            self._follow(connection, name, owner.id, actor, now=now)
            subject = EventSubject(f"{name}/{identifier}", name, detail=values)
            record_event(connection, "publisher", subject, actor, now=now)
            query = _select().where(publisher_rule.c.id == identifier)
            return _rule_of(connection.execute(query).one())

    def of_namespace(self, name: str) -> list[RuleRow]:
        """The rules of a namespace, oldest first."""
        return self._read(_select().where(publisher_rule.c.namespace == name))

    def of_issuer(self, issuer: str, name: str | None = None) -> list[RuleRow]:
        """The rules that trust an issuer, in one namespace or in all."""
        query = _select().where(publisher_rule.c.issuer == issuer)
        return self._read(
            query if name is None else query.where(publisher_rule.c.namespace == name)
        )

    def remove(self, name: str, identifier: str, actor: Actor, *, now: datetime) -> None:
        """Remove a rule, and revoke the tokens of the namespace's rules.

        Raises `UnknownRuleError`.
        """
        number = int(identifier) if identifier.isascii() and identifier.isdigit() else -1
        is_rule = (publisher_rule.c.id == min(number, 2**62)) & (publisher_rule.c.namespace == name)
        with self._database.writing() as connection:
            query = _select().where(is_rule)
            row = connection.execute(query).first()
            if row is None:
                raise UnknownRuleError(name, identifier[:64])
            rule = _rule_of(row)
            connection.execute(update(publisher_rule).where(is_rule).values(removed_at=now))
            issued = (token.c.principal_id == rule.principal.id) & token.c.revoked_at.is_(None)
            connection.execute(update(token).where(issued).values(revoked_at=now))
            self._follow(connection, name, rule.principal.id, actor, now=now)
            subject = EventSubject(f"{name}/{rule.id}", name)
            record_event(connection, "publisher-removed", subject, actor, now=now)

    def use_once(self, issuer: str, jti: str, expires: datetime, now: datetime) -> bool:
        """Remember an OIDC token. Returns false if it was exchanged before."""
        row = {"issuer": issuer, "jti": jti, "expires_at": expires}
        try:
            with self._database.writing() as connection:
                connection.execute(delete(jti_seen).where(jti_seen.c.expires_at < now))
                seen = select(jti_seen.c.jti).where(
                    jti_seen.c.issuer == issuer, jti_seen.c.jti == jti
                )
                if connection.scalar(seen) is not None:
                    return False
                try:
                    connection.execute(insert(jti_seen).values(row))
                except DuplicateError as problem:  # PostgreSQL: another exchange was first
                    raise _SeenError from problem
        except _SeenError:
            return False
        return True

    def _follow(
        self, connection: Any, name: str, principal_id: int, actor: Actor, *, now: datetime
    ) -> None:
        """Give the principal of a namespace's rules the role that the rules need, or none."""
        active = select(publisher_rule.c.publishes_new).where(
            publisher_rule.c.namespace == name,
            publisher_rule.c.principal_id == principal_id,
            publisher_rule.c.removed_at.is_(None),
        )
        flags = list(connection.scalars(active))
        connection.execute(
            delete(namespace_member).where(
                namespace_member.c.namespace == name,
                namespace_member.c.principal_id == principal_id,
            )
        )
        if flags:
            role: Role = "maintainer" if any(flags) else "publisher"
            values = {"namespace": name, "principal_id": principal_id, "role": role}
            given = {"granted_at": now, "granted_by": actor.principal}
            connection.execute(insert(namespace_member).values({**values, **given}))

    def _read(self, query: Select[Any]) -> list[RuleRow]:
        query = query.order_by(publisher_rule.c.id).limit(RULES_LIMIT)
        with self._database.reading() as connection:
            return [_rule_of(row) for row in connection.execute(query)]


class _SeenError(Exception):
    """Rolls back the transaction of an exchange that came second."""


def _select() -> Select[Any]:
    owned = publisher_rule.join(principal, publisher_rule.c.principal_id == principal.c.id)
    return select(*_COLUMNS).select_from(owned).where(publisher_rule.c.removed_at.is_(None))


def _rule_of(row: Row[Any]) -> RuleRow:
    _, _, _, _, identifier, name, pattern, issuer, claims, publishes_new, created = tuple(row)
    return RuleRow(
        identifier, name, pattern, issuer, dict(claims), principal_of(row), bool(publishes_new),
        created,
    )  # fmt: skip
