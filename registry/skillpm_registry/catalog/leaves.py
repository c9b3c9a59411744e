"""Leaves of the log: inserted without a position, which the sequencer assigns."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from skillpm_registry.tables import PUBLIC, log_leaf, namespace

PUBLISH = "publish"


def log_of(name: str, *, private: bool) -> str:
    """The log of a namespace: the public one, or its own."""
    return f"ns:{name}" if private else PUBLIC


def add_leaf(connection: Connection, kind: str, document: str, release: Any, now: datetime) -> int:
    """Insert a leaf about a release: a row with `id`, `skill_id` and `namespace`."""
    query = select(namespace.c.private).where(namespace.c.name == release.namespace)
    values = {
        "log": log_of(release.namespace, private=bool(connection.scalar(query))),
        "kind": kind,
        "skill_id": release.skill_id,
        "release_id": release.id,
        "document": document,
        "added_at": now,
    }
    statement = insert(log_leaf).values(values).returning(log_leaf.c.id)
    return int(connection.execute(statement).scalar_one())


def publish_leaf(connection: Connection, release_id: int) -> int | None:
    """The leaf of a release's publication. None in a registry that is not upgraded wholly."""
    query = select(log_leaf.c.id).where(
        log_leaf.c.release_id == release_id, log_leaf.c.kind == PUBLISH
    )
    return connection.scalar(query)
