"""Upload sessions: resumable, hashed while they stream, kept from the collector (ADR 53)."""

from dataclasses import dataclass
from datetime import datetime

from skillpm.spec.digests import Digest
from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.db.engine import Database


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
        `BlobBusyError` while the collector deletes the blob (ask again), `QuotaExceededError`, and
        `BlobSizeError` if a live blob has another size.
        """
        raise NotImplementedError

    def find(self, session: str, actor: Actor) -> UploadSession:
        """A session. Raises `UnknownUploadError`, also for the session of another principal."""
        raise NotImplementedError

    def append(
        self, session: str, offset: int, data: bytes, actor: Actor, *, now: datetime
    ) -> UploadSession:
        """Store a chunk durably. The session is then valid for seven more days.

        Raises `UnknownUploadError`, `UploadOffsetError` (with the expected offset), and
        `BlobSizeError` if the chunk ends after the blob's size.
        """
        raise NotImplementedError

    def finish(self, session: str, actor: Actor, *, now: datetime) -> None:
        """Make the blob live, if all its bytes have arrived.

        Raises `UnknownUploadError`, `UploadOffsetError` if bytes are missing, and
        `DigestMismatchError`, which ends the session.
        """
        raise NotImplementedError

    def abort(self, session: str, actor: Actor) -> None:
        """End a session and remove its bytes. Raises `UnknownUploadError`."""
        raise NotImplementedError

    def store(
        self, digest: Digest, data: bytes, namespace: str, actor: Actor, *, now: datetime
    ) -> None:
        """Store a small blob, such as an OCI manifest, in one call, and make it live."""
        raise NotImplementedError
