"""The rows of garbage: marking blobs before their objects are deleted, under a lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update

from skillpm.spec.digests import Digest
from skillpm_registry.blobs.protocol import StoredBlob
from skillpm_registry.catalog.insert import insert_new
from skillpm_registry.db.engine import Database
from skillpm_registry.tables import DELETING, LIVE, blob, release, release_blob, upload
from skillpm_registry.tables import lease as lease_table

BATCH = 100
"""Blobs that one transaction marks."""


class MarkedBlob(NamedTuple):
    """A blob whose row is in the state `deleting`."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A right that one process at a time has, for a limited time: by default, to collect."""

    database: Database
    holder: str
    duration: timedelta
    name: str = "collector"

    def take(self, now: datetime) -> bool:
        """Take or renew the lease. False if another process holds it."""
        table, expires = lease_table, now + self.duration
        with self.database.writing() as connection:
            query = select(table.c.holder, table.c.expires_at).where(table.c.name == self.name)
            row = connection.execute(query.with_for_update()).first()
            if row is None:
                values = {"name": self.name, "holder": self.holder, "expires_at": expires}
                insert_new(connection, table, values)
                row = connection.execute(query.with_for_update()).one()
            if row.holder != self.holder and row.expires_at > now:
                return False
            renewed = update(table).where(table.c.name == self.name)
            connection.execute(renewed.values(holder=self.holder, expires_at=expires))
        return True

    def release(self) -> None:
        """Give the lease back, if this process holds it."""
        own = (lease_table.c.name == self.name) & (lease_table.c.holder == self.holder)
        with self.database.writing() as connection:
            connection.execute(delete(lease_table).where(own))


@dataclass(frozen=True, slots=True)
class Garbage:
    """The blobs of a catalogue that no release and no session needs."""

    database: Database

    def mark(self, after: str, *, untouched_since: datetime, now: datetime) -> list[MarkedBlob]:
        """Mark the next blobs after a digest, in one transaction.

        The first statement locks candidates in the order of digests. A publisher may have been
        faster, so the second one looks again: the snapshot of the first is as old as its start.
        """
        is_garbage = and_(
            blob.c.state == LIVE,
            or_(blob.c.touched_at.is_(None), blob.c.touched_at <= untouched_since),
            ~_is_needed(),
        )
        candidates = select(blob.c.digest).where(is_garbage, blob.c.digest > after)
        ordered = candidates.order_by(blob.c.digest).limit(BATCH).with_for_update()
        with self.database.writing() as connection:
            locked = list(connection.scalars(ordered))
            again = select(blob.c.digest, blob.c.size).where(blob.c.digest.in_(locked), is_garbage)
            rows = connection.execute(again.order_by(blob.c.digest)).all()
            self._set_deleting(connection, [row.digest for row in rows], now)
        return [MarkedBlob(Digest(row.digest), row.size) for row in rows]

    def abandoned(self, before: datetime, now: datetime) -> list[MarkedBlob]:
        """Take over blobs that another collector marked before a time and did not delete."""
        query = select(blob.c.digest, blob.c.size).where(
            blob.c.state == DELETING, blob.c.deleting_since <= before
        )
        ordered = query.order_by(blob.c.digest).limit(BATCH).with_for_update()
        with self.database.writing() as connection:
            rows = connection.execute(ordered).all()
            self._set_deleting(connection, [row.digest for row in rows], now)
        return [MarkedBlob(Digest(row.digest), row.size) for row in rows]

    def mark_orphans(self, stored: Sequence[StoredBlob], *, now: datetime) -> list[MarkedBlob]:
        """Mark objects without a row, in two transactions.

        The first inserts rows in the state `deleting`, which publishers see from then on. The
        second removes those again that a session or a release needs: a session that is committed
        later sees the mark.
        """
        by_digest = {str(found.digest): found for found in stored}
        with self.database.writing() as connection:
            known = select(blob.c.digest).where(blob.c.digest.in_(by_digest))
            unknown = sorted(set(by_digest) - set(connection.scalars(known)))
            rows = [
                {"digest": digest, "size": by_digest[digest].size, "state": DELETING,
                 "deleting_since": now}
                for digest in unknown
            ]  # fmt: skip
            if rows:
                insert_new(connection, blob, *rows)
        with self.database.writing() as connection:
            own = and_(
                blob.c.digest.in_(unknown), blob.c.state == DELETING, blob.c.deleting_since == now
            )
            locked = select(blob.c.digest).where(own).order_by(blob.c.digest).with_for_update()
            mine = list(connection.scalars(locked))
            needed = select(blob.c.digest).where(blob.c.digest.in_(mine), _is_needed())
            kept = set(connection.scalars(needed))
            connection.execute(delete(blob).where(blob.c.digest.in_(kept)))
        return [
            MarkedBlob(Digest(digest), by_digest[digest].size)
            for digest in mine
            if digest not in kept
        ]

    def forget(self, deleted: Sequence[MarkedBlob]) -> None:
        """Remove the rows of blobs whose objects are deleted."""
        digests = [str(found.digest) for found in deleted]
        with self.database.writing() as connection:
            connection.execute(
                delete(blob).where(blob.c.digest.in_(digests), blob.c.state == DELETING)
            )

    def _set_deleting(self, connection: Connection, digests: Sequence[str], now: datetime) -> None:
        marked = update(blob).where(blob.c.digest.in_(digests))
        connection.execute(marked.values(state=DELETING, deleting_since=now))


def _is_needed() -> ColumnElement[bool]:
    """The condition that a release or a session references a row of `blob`."""
    return or_(
        exists().where(release_blob.c.digest == blob.c.digest),
        exists().where(release.c.digest == blob.c.digest),
        exists().where(upload.c.digest == blob.c.digest),
    )
