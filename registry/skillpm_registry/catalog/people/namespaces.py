"""Namespaces, and the roles that principals have in them. A namespace is never deleted."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, false, func, insert, select, update
from sqlalchemy.exc import IntegrityError as DuplicateError

from skillpm.errors import StateError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.registry_people import Role
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.catalog.people.principals import known_principal, make_principal
from skillpm_registry.catalog.people.values import MemberRow, Standing
from skillpm_registry.db.engine import Database
from skillpm_registry.refusals import UnknownNamespaceError
from skillpm_registry.tables.catalogue import release, release_blob, skill
from skillpm_registry.tables.people import namespace, namespace_member, principal
from skillpm_registry.tables.search import search_row

SKILLS_LIMIT = 1000
"""Skills that are read to decide who may read a blob. Few blobs belong to more."""


class NamespaceExistsError(StateError):
    """A namespace exists already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the namespace `{name}` exists already",
            hint=f"`skillpm registry namespace list {name}` lists its members",
        )
        self.name = name


class LastOwnerError(StateError):
    """A change would leave a namespace without an owner."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the namespace `{name}` would have no owner",
            hint=f"first make somebody else an owner: `skillpm registry namespace grant {name} "
            "PRINCIPAL --role owner`",
        )
        self.name = name


class PrivateNamespaceError(StateError):
    """A private namespace cannot become public."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the namespace `{name}` is private, and cannot become public: the public log does not "
            "have its releases",
            hint="publish them in another namespace, which is public",
        )
        self.name = name


class Namespaces:
    """The namespaces of a registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, name: str, principal_id: int | None) -> Standing | None:
        """A namespace with the role of a principal. None if there is no such namespace."""
        with self._database.reading() as connection:
            return _standing(connection, name, principal_id)

    def standing_for(
        self, name: SkillName, principal_id: int | None
    ) -> tuple[Standing | None, bool]:
        """The namespace of a skill like `standing`, and whether a release of it was published."""
        values = {"space": name.namespace, "member": principal_id, "skill": name.name}
        with self._database.reading() as connection:
            row = connection.execute(_STANDING_FOR, values).first()
        return (None, False) if row is None else (Standing(*row[:-1]), bool(row[-1]))

    def visible(self, principal_id: int | None, *, is_admin: bool) -> list[Standing]:
        """The namespaces that a principal may see, sorted by name."""
        query = (
            select(namespace.c.name, namespace.c.private, namespace_member.c.role,
                   namespace.c.created_at)
            .outerjoin(
                namespace_member,
                (namespace_member.c.namespace == namespace.c.name)
                & (namespace_member.c.principal_id == principal_id),
            )
            .order_by(namespace.c.name)
        )  # fmt: skip
        with self._database.reading() as connection:
            rows = [Standing(*row) for row in connection.execute(query)]
        return [row for row in rows if is_admin or row.visible]

    def private(self) -> frozenset[str]:
        """The names of all private namespaces."""
        with self._database.reading() as connection:
            query = select(namespace.c.name).where(namespace.c.private)
            return frozenset(connection.scalars(query))

    def create(
        self, name: str, owner: str, actor: Actor, *, private: bool, quota: int | None,
        now: datetime,
    ) -> Standing:  # fmt: skip
        """Create a namespace, with an owner. Raises `NamespaceExistsError`."""
        with self._database.writing() as connection:
            if connection.scalar(select(exists().where(namespace.c.name == name))):
                raise NamespaceExistsError(name)
            row = make_principal(connection, owner, actor, now=now)
            try:
                connection.execute(
                    insert(namespace).values(
                        name=name, private=private, quota_bytes=quota, created_at=now
                    )
                )
            except DuplicateError as problem:  # PostgreSQL: another transaction was first
                raise NamespaceExistsError(name) from problem
            subject = EventSubject(name, name, detail={"private": private})
            record_event(connection, "namespace", subject, actor, now=now)
            _grant(connection, name, row.id, "owner", actor, now=now)
            _record(connection, "grant", name, owner, actor, now=now, role="owner")
            found = _standing(connection, name, actor.principal)
        if found is None:
            raise AssertionError
        return found

    def set_private(self, name: str, actor: Actor, *, private: bool, now: datetime) -> None:
        """Make a namespace private, if it is not. The caller then removes its public documents.

        Raises `UnknownNamespaceError` and `PrivateNamespaceError`.
        """
        with self._database.writing() as connection:
            _lock(connection, name)
            of_name = namespace.c.name == name
            was = bool(connection.scalar(select(namespace.c.private).where(of_name)))
            if was and not private:
                raise PrivateNamespaceError(name)
            if private and not was:
                connection.execute(update(namespace).where(of_name).values(private=True))
                rows = update(search_row).where(search_row.c.namespace == name)
                connection.execute(rows.values(private=True))
                subject = EventSubject(name, name, detail={"private": True})
                record_event(connection, "namespace", subject, actor, now=now)

    def members(self, name: str) -> list[MemberRow]:
        """The members of a namespace, sorted by name."""
        query = (
            select(principal.c.name, namespace_member.c.role, namespace_member.c.granted_at)
            .join_from(namespace_member, principal,
                       namespace_member.c.principal_id == principal.c.id)
            .where(namespace_member.c.namespace == name)
            .order_by(principal.c.name)
        )  # fmt: skip
        with self._database.reading() as connection:
            return [MemberRow(*row) for row in connection.execute(query)]

    def grant(self, name: str, member: str, role: Role, actor: Actor, *, now: datetime) -> None:
        """Give a principal a role in a namespace, instead of the one that it has.

        Raises `UnknownNamespaceError` and `LastOwnerError`.
        """
        with self._database.writing() as connection:
            _lock(connection, name)
            row = make_principal(connection, member, actor, now=now)
            if role != "owner":
                _check_owners(connection, name, without=row.id, actor=actor)
            _grant(connection, name, row.id, role, actor, now=now)
            _record(connection, "grant", name, member, actor, now=now, role=role)

    def revoke(self, name: str, member: str, actor: Actor, *, now: datetime) -> bool:
        """Remove a principal from a namespace. Returns whether it was a member.

        Raises `UnknownNamespaceError`, `UnknownPrincipalError` and `LastOwnerError`.
        """
        with self._database.writing() as connection:
            _lock(connection, name)
            row = known_principal(connection, member)
            _check_owners(connection, name, without=row.id, actor=actor)
            removed = connection.execute(_membership(name, row.id))
            if removed.rowcount:
                _record(connection, "revoke", name, member, actor, now=now)
            return bool(removed.rowcount)

    def skills_with_blob(self, digest: Digest) -> list[tuple[SkillName, bool]]:
        """Skills with a release that has this blob, each with whether its namespace is private.

        At most 1,000; if one is public, a public one is first.
        """
        text = str(digest)
        of_blob = select(release_blob.c.release_id).where(release_blob.c.digest == text)
        # PostgreSQL orders distinct rows only by a column that is selected.
        private = func.coalesce(namespace.c.private, false()).label("is_private")
        query = (
            select(skill.c.namespace, skill.c.name, private)
            .distinct()
            .select_from(release.join(skill).outerjoin(
                namespace, namespace.c.name == skill.c.namespace))
            .where((release.c.digest == text) | release.c.id.in_(of_blob))
            .order_by(private)
            .limit(SKILLS_LIMIT)
        )  # fmt: skip
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [(SkillName(row.namespace, row.name), bool(row.is_private)) for row in rows]


_ROLE = (
    select(namespace_member.c.role)
    .where(
        namespace_member.c.namespace == bindparam("space"),
        namespace_member.c.principal_id == bindparam("member"),
    )
    .scalar_subquery()
)
_STANDING = select(namespace.c.name, namespace.c.private, _ROLE, namespace.c.created_at).where(
    namespace.c.name == bindparam("space")
)
_STANDING_FOR = _STANDING.add_columns(
    exists().where(skill.c.namespace == bindparam("space"), skill.c.name == bindparam("skill"))
)


def _standing(connection: Connection, name: str, principal_id: int | None) -> Standing | None:
    row = connection.execute(_STANDING, {"space": name, "member": principal_id}).first()
    return None if row is None else Standing(*row)


def _lock(connection: Connection, name: str) -> None:
    """Lock a namespace's row, so that two owners cannot remove each other at the same time."""
    query = select(namespace.c.name).where(namespace.c.name == name).with_for_update()
    if connection.scalar(query) is None:
        raise UnknownNamespaceError(name)


def _membership(name: str, principal_id: int) -> Any:
    return delete(namespace_member).where(
        namespace_member.c.namespace == name, namespace_member.c.principal_id == principal_id
    )


def _grant(
    connection: Connection, name: str, principal_id: int, role: Role, actor: Actor, *,
    now: datetime,
) -> None:  # fmt: skip
    values = {"role": role, "granted_at": now, "granted_by": actor.principal}
    of_member = (namespace_member.c.namespace == name) & (
        namespace_member.c.principal_id == principal_id
    )
    changed = connection.execute(update(namespace_member).where(of_member).values(values))
    if not changed.rowcount:
        keys = {"namespace": name, "principal_id": principal_id}
        connection.execute(insert(namespace_member).values({**values, **keys}))


def _check_owners(connection: Connection, name: str, *, without: int, actor: Actor) -> None:
    """Raise `LastOwnerError` if `without` is the only owner. Administrators may remove it."""
    owners = select(namespace_member.c.principal_id).where(
        namespace_member.c.namespace == name, namespace_member.c.role == "owner"
    )
    if not actor.is_admin and list(connection.scalars(owners)) == [without]:
        raise LastOwnerError(name)


def _record(
    connection: Connection, kind: str, name: str, member: str, actor: Actor, *, now: datetime,
    **detail: str,
) -> None:  # fmt: skip
    subject = EventSubject(member, name, detail=detail)
    record_event(connection, kind, subject, actor, now=now)
