"""Upload sessions: resumable, hashed while they stream, kept from the collector (ADR 53)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from skillpm.errors import IntegrityError
from skillpm.spec.digests import Digest
from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.blobs.verify import verified
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.presence import live_blobs
from skillpm_registry.db.engine import Database
from skillpm_registry.errors import BlobSizeError
from skillpm_registry.publishing.quotas import check_quota
from skillpm_registry.publishing.sessions import open_sessions, settle
from skillpm_registry.refusals import (
    BlobBusyError,
    UnknownUploadError,
    UploadLostError,
    UploadOffsetError,
)
from skillpm_registry.tables import DELETING, LIVE, blob, upload

LIFETIME = timedelta(days=7)
"""How long a session is kept after its last chunk."""
_TOUCH = timedelta(hours=1)
"""A blob that was touched this long ago is not touched again."""


_SESSION = select(upload).where(
    upload.c.id == bindparam("session"),
    upload.c.principal_id.is_not_distinct_from(bindparam("principal")),  # The owner has none.
)
_KEPT = (
    update(upload)
    .where(upload.c.id == bindparam("session"))
    .values(expires_at=bindparam("expires"))
)
_RECEIVED = _KEPT.where(upload.c.received == bindparam("offset")).values(received=bindparam("end"))
_LIVE_BLOB = select(blob.c.size, blob.c.touched_at).where(
    blob.c.digest == bindparam("of"), blob.c.state == LIVE
)
_STATE = select(blob.c.state).where(blob.c.digest == bindparam("of")).with_for_update(read=True)
"""The state of a blob, once no transaction changes it."""


@dataclass(frozen=True, slots=True)
class UploadSession:
    """An upload that is not finished. The next chunk begins at the offset `received`."""

    id: str
    digest: Digest
    size: int
    received: int
    expires_at: datetime


class Uploads:
    """The upload sessions of a registry. A session belongs to the principal that began it."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database = database
        self.blobs = blobs

    def begin(
        self, digest: Digest, size: int, namespace: str, actor: Actor, *, now: datetime
    ) -> UploadSession | None:
        """Begin an upload, or continue the actor's session for the same blob.

        None if the blob is present to the actor, whose grace period then begins again. Raises
        `BlobBusyError` while the collector deletes the blob (ask again), `QuotaExceededError`,
        `UnknownNamespaceError`, and `BlobSizeError` if the blob is present with another size.
        """
        if self._is_present(digest, size, actor, now):
            return None
        with self.database.writing() as connection:
            own = select(upload).where(
                upload.c.digest == str(digest),
                upload.c.size == size,
                upload.c.namespace == namespace,
                upload.c.principal_id == actor.principal,
                upload.c.expires_at > now,
            )
            row = connection.execute(own).first()
            if row is not None:
                return _session_of(row)
            check_quota(connection, namespace, size, actor)
            session = open_sessions(
                connection, {digest: size}, namespace, actor, (now, now + LIFETIME)
            )[digest]
        self.check_not_busy(digest, session)
        return UploadSession(session, digest, size, 0, now + LIFETIME)

    def find(self, session: str, actor: Actor) -> UploadSession:
        """A session. Raises `UnknownUploadError`, also for the session of another principal."""
        of = {"session": session, "principal": actor.principal}
        with self.database.reading() as connection:
            row = connection.execute(_SESSION, of).first()
        if row is None:
            raise UnknownUploadError(session)
        return _session_of(row)

    def append(
        self, session: str, offset: int, data: bytes, actor: Actor, *, now: datetime
    ) -> UploadSession:
        """Store a chunk durably. The session is then valid for seven more days.

        Raises `UnknownUploadError`, `UploadOffsetError` (with the expected offset), `BlobSizeError`
        if the chunk ends after the blob's size, and `UploadLostError`, which ends the session.
        """
        found, end = self.find(session, actor), offset + len(data)
        if offset != found.received:
            raise UploadOffsetError(session, expected=found.received, found=offset)
        if end > found.size:
            raise BlobSizeError(found.digest, expected=found.size, found="longer")
        try:
            self.blobs.append(session, offset, data)
        except UploadLostError:
            self.abort(session, actor)
            raise
        values = {"session": session, "offset": offset, "end": end, "expires": now + LIFETIME}
        with self.database.writing(single=True) as connection:
            done = connection.execute(_RECEIVED, values).rowcount
        if not done:  # Another request for the same chunk was faster.
            expected = self.find(session, actor).received
            raise UploadOffsetError(session, expected=expected, found=offset)
        return UploadSession(session, found.digest, found.size, end, now + LIFETIME)

    def finish(self, session: str, actor: Actor, *, now: datetime) -> UploadSession:
        """Make the blob live, if all its bytes have arrived. Returns the session, which is ended.

        Raises `UnknownUploadError`, `UploadOffsetError` if bytes are missing, and
        `DigestMismatchError` or `UploadLostError`, which end the session.
        """
        found = self.find(session, actor)
        if found.received != found.size:
            raise UploadOffsetError(session, expected=found.received, found=found.size)
        kept = {"session": session, "expires": now + LIFETIME}
        # The collector keeps it while it is finished.
        with self.database.writing(single=True) as connection:
            if not connection.execute(_KEPT, kept).rowcount:
                raise UnknownUploadError(session)
        try:
            self._finish(found)
        except (IntegrityError, UploadLostError):
            self.abort(session, actor)
            raise
        with self.database.writing() as connection:
            settle(connection, session, found.digest, found.size, actor, now=now)
        return found

    def abort(self, session: str, actor: Actor) -> None:
        """End a session and remove its bytes. Raises `UnknownUploadError`."""
        self.find(session, actor)
        with self.database.writing() as connection:
            connection.execute(delete(upload).where(upload.c.id == session))
        self.blobs.abort(session)

    def store(
        self, digest: Digest, data: bytes, namespace: str, actor: Actor, *, now: datetime
    ) -> None:
        """Store a small blob, such as an OCI manifest, in one call, and make it live."""
        if self._is_present(digest, len(data), actor, now):
            return
        session = self.place(digest, data, namespace, actor, now=now)
        with self.database.writing() as connection:
            settle(connection, session, digest, len(data), actor, now=now)

    def place(
        self, digest: Digest, data: bytes, namespace: str | None, actor: Actor, *, now: datetime
    ) -> str:
        """Store a small blob, and return the session that `settle` makes live.

        Raises `BlobBusyError` and `DigestMismatchError`.
        """
        with self.database.writing(single=True) as connection:
            session = open_sessions(
                connection, {digest: len(data)}, namespace, actor, (now, now + LIFETIME)
            )[digest]
        self.check_not_busy(digest, session)
        self.blobs.put(digest, len(data), BytesIO(data))
        return session

    def check_not_busy(self, digest: Digest, session: str) -> None:
        """Raise `BlobBusyError` if the collector deletes a blob; the session then ends.

        Call it after the session is committed. If the collector marked the blob before that, this
        sees the mark, because it waits for the row's lock; else the collector sees the session.
        """
        with self.database.reading() as connection:
            state = connection.scalar(_STATE, {"of": str(digest)})
        if state == DELETING:
            with self.database.writing() as connection:
                connection.execute(delete(upload).where(upload.c.id == session))
            raise BlobBusyError(digest)

    def _is_present(self, digest: Digest, size: int, actor: Actor, now: datetime) -> bool:
        with self.database.reading() as connection:
            row = connection.execute(_LIVE_BLOB, {"of": str(digest)}).first()
            if row is None or str(digest) not in live_blobs(connection, [str(digest)], actor):
                return False
        if row.size != size:
            raise BlobSizeError(digest, expected=row.size, found=str(size))
        if row.touched_at is not None and row.touched_at > now - _TOUCH:
            return True
        touch = update(blob).where(blob.c.digest == str(digest), blob.c.state == LIVE)
        with self.database.writing(single=True) as connection:
            return bool(connection.execute(touch.values(touched_at=now)).rowcount)

    def _finish(self, found: UploadSession) -> None:
        try:
            self.blobs.finish(found.id, found.digest, found.size)
        except UploadLostError:
            # A server that was killed may have placed the object already.
            source = self.blobs.open(found.digest)
            if source is None:
                raise
            with source:
                for _ in verified(source, found.digest, found.size):
                    pass


def _session_of(row: Any) -> UploadSession:
    return UploadSession(row.id, Digest(row.digest), row.size, row.received, row.expires_at)
