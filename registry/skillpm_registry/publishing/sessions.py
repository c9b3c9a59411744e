"""Upload sessions: while one exists, the collector keeps its blob (ADR 53)."""

from collections.abc import Mapping
from datetime import datetime
from secrets import token_hex

from sqlalchemy import Connection, delete, insert, select, update

from skillpm.spec.digests import Digest
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.insert import insert_new
from skillpm_registry.refusals import BlobBusyError, UnknownUploadError
from skillpm_registry.tables import DELETING, blob, blob_owner, upload


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
    connection.execute(insert(upload), rows)
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
    ended = connection.execute(delete(upload).where(upload.c.id == session)).rowcount
    if not ended:
        raise UnknownUploadError(session)
    state = _state(connection, digest)
    if state is None:
        insert_new(connection, blob, {"digest": str(digest), "size": size, "touched_at": now})
        state = _state(connection, digest)
    if state == DELETING:
        raise BlobBusyError(digest)
    touch = update(blob).where(blob.c.digest == str(digest)).values(touched_at=now)
    connection.execute(touch)
    if actor.principal is not None:
        owner = {"digest": str(digest), "principal_id": actor.principal}
        known = select(blob_owner.c.digest).where(
            blob_owner.c.digest == str(digest), blob_owner.c.principal_id == actor.principal
        )
        if connection.scalar(known) is None:
            insert_new(connection, blob_owner, owner)


def _state(connection: Connection, digest: Digest) -> str | None:
    query = select(blob.c.state).where(blob.c.digest == str(digest))
    return connection.scalar(query.with_for_update())
