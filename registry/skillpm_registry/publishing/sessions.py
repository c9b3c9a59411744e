"""Upload sessions: while one exists, the collector keeps its blob (ADR 53)."""

from collections.abc import Mapping
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from skillpm.spec.digests import Digest
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.insert import insert_new, insert_or_update
from skillpm_registry.refusals import BlobBusyError, UnknownUploadError
from skillpm_registry.tables import DELETING, LIVE, blob, blob_owner, upload

_BEGIN = insert(upload)


def open_sessions(
    connection: Connection,
    sizes: Mapping[Digest, int],
    namespace: str | None,
    actor: Actor,
    period: tuple[datetime, datetime],
) -> dict[Digest, str]:
    """Insert a session for each blob, from a time until another. Returns their identifiers.

    The caller commits, and then looks whether the collector has marked one of the blobs.
    """
    sessions = {digest: token_hex(16) for digest in sizes}
    rows = [
        {"id": sessions[digest], "digest": str(digest), "size": size, "received": 0,
         "principal_id": actor.principal, "namespace": namespace, "begun_at": period[0],
         "expires_at": period[1]}
        for digest, size in sizes.items()
    ]  # fmt: skip
    connection.execute(_BEGIN, rows)
    return sessions


def settle(
    connection: Connection,
    session: str,
    digest: Digest,
    size: int,
    actor: Actor,
    *,
    now: datetime,
) -> None:
    """End a session whose object is stored, and make the blob live.

    Raises `UnknownUploadError` if the session was aborted meanwhile: then the collector may have
    removed the object.
    """
    if not connection.execute(_END, {"session": session}).rowcount:
        raise UnknownUploadError(session)
    row = {"digest": str(digest), "size": size, "touched_at": now}
    if _touched(connection, row) == DELETING:
        raise BlobBusyError(digest)
    if actor.principal is not None:
        owner = {"digest": str(digest), "principal_id": actor.principal}
        insert_new(connection, blob_owner, owner)


def _touched(connection: Connection, row: Mapping[str, Any]) -> str:
    """Insert or touch a blob, and lock its row. Returns its state."""
    if connection.dialect.name == "postgresql":
        touched = insert_or_update(connection, blob, row, key="digest", column="touched_at")
        return str(touched.state)
    # A trigger of SQLite refuses to insert a blob that exists.
    state = connection.scalar(_STATE, {"of": row["digest"]})
    if state is None:
        insert_new(connection, blob, row)
    else:
        connection.execute(_TOUCH, {"of": row["digest"], "moment": row["touched_at"]})
    return state or LIVE


_END = delete(upload).where(upload.c.id == bindparam("session"))
_STATE = select(blob.c.state).where(blob.c.digest == bindparam("of"))
_TOUCH = update(blob).where(blob.c.digest == bindparam("of")).values(touched_at=bindparam("moment"))
