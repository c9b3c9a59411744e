"""The protocol of a store of blobs, which a folder and a bucket implement."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from skillpm.spec.digests import Digest

OpenBlob = Callable[[Digest], BinaryIO]
CHUNK = 1 << 20
"""Bytes of a chunk that a store reads at once."""


class StoredBlob(NamedTuple):
    """An object of a store, as a listing shows it."""

    digest: Digest
    size: int
    stored_at: datetime


class BlobStore(Protocol):
    """Content-addressed objects, and the unfinished bytes of upload sessions.

    An object appears whole or not at all, and only if its bytes have its digest: the store hashes
    them in this process. No method uses a conditional write. All methods may be called by several
    threads and processes; they raise `BlobStoreError` if the store cannot be reached.
    """

    @property
    def name(self) -> str:
        """The store in messages: a folder, or `s3://bucket/prefix`."""
        ...

    def open(self, digest: Digest, start: int = 0, length: int | None = None) -> BinaryIO | None:
        """Open a blob from an offset, without hashing it. None if the object is missing.

        `length` is a hint: the stream may be longer.
        """
        ...

    def size(self, digest: Digest) -> int | None:
        """The size of an object. None if it is missing."""
        ...

    def file(self, digest: Digest) -> Path | None:
        """The path of a blob's file, for `sendfile`. None in a bucket, and for a missing blob."""
        ...

    def url(self, digest: Digest, expires_in: timedelta) -> str | None:
        """A URL that grants reading of a blob for a time. None in a folder."""
        ...

    def put(self, digest: Digest, size: int, source: BinaryIO) -> None:
        """Store a blob durably, with constant memory. Replaces an object.

        Raises `DigestMismatchError` and `BlobSizeError`; then the store is not changed.
        """
        ...

    def delete(self, digest: Digest, timeout: timedelta) -> None:
        """Delete an object, if it exists. Not retried.

        Raises `BlobStoreError`; then the object may be deleted up to `timeout` later.
        """
        ...

    def blobs(self) -> Iterator[StoredBlob]:
        """All objects, in the order of digests."""
        ...

    def append(self, session: str, offset: int, data: bytes) -> None:
        """Store bytes of a session durably at an offset, up to which all bytes are stored.

        Storing the same bytes again changes nothing. Raises `UploadLostError` if earlier bytes are
        missing, or if others are stored at this place.
        """
        ...

    def finish(self, session: str, digest: Digest, size: int) -> None:
        """Make the bytes of a session the object `digest`, durably, and end the session.

        Hashes the bytes, unless this process has hashed them while they arrived. Raises
        `DigestMismatchError` and `BlobSizeError`; then the session's bytes are removed. Raises
        `UploadLostError` if bytes are missing.
        """
        ...

    def abort(self, session: str) -> None:
        """Remove the bytes of a session, if there are any."""
        ...

    def sessions(self) -> Iterator[str]:
        """The sessions that have bytes."""
        ...

    def tidy(self, before: datetime) -> int:
        """Remove what killed processes left of objects that they began before a time.

        Returns how many unfinished objects were removed, as far as the store knows.
        """
        ...
