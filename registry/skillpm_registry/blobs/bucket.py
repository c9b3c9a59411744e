"""The blobs of a registry in a bucket of any S3 server, by obstore."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from skillpm.errors import DigestMismatchError, SpecError
from skillpm.spec.digests import Digest
from skillpm_registry.blobs.multipart import BucketAccess, MultipartUploads
from skillpm_registry.blobs.protocol import CHUNK, StoredBlob
from skillpm_registry.blobs.verify import verified
from skillpm_registry.errors import BlobSizeError
from skillpm_registry.refusals import BlobStoreError, UploadLostError

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions, GetResult
    from obstore.store import ClientConfig, RetryConfig

_CLIENT: "ClientConfig" = {
    "allow_http": True,
    "connect_timeout": timedelta(seconds=10),
    "timeout": timedelta(seconds=600),
}
_RETRIES: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_PART = 8 << 20
"""Bytes of a part of a multipart upload."""
_PARTS = 2
"""Parts that are sent at once."""
_BLOBS = "blobs/sha256"
_UPLOADS = "uploads"
_DIGITS = 20  # Of an offset in the name of a chunk, so that names sort as numbers.


class Bucket:
    """The blobs below a prefix of a bucket: a `BlobStore`.

    Nothing relies on conditional writes or on checksums of the server: servers ignore them, and
    all bytes are hashed in this process. Chunks of a session are objects of their own, which are
    read, hashed and joined at the end.
    """

    def __init__(self, url: str) -> None:
        self.name = url
        self._store = S3Store.from_url(url, client_options=_CLIENT, retry_config=_RETRIES)
        self._url = url

    def open(self, digest: Digest, start: int = 0, length: int | None = None) -> BinaryIO | None:
        """Open a blob from an offset, or with one request a whole one. None if it is missing."""
        if start or length is not None:
            size = self.size(digest)
            if size is None:
                return None
            end = size if length is None else min(size, start + length)
            part = self.read(_path(digest), start, end) if end > start else iter(())
            return BufferedReader(_ObjectReader(part), CHUNK)
        with store_errors(self.name), suppress(FileNotFoundError):
            whole = self._store.get(_path(digest))
            return BufferedReader(_ObjectReader(self._chunks_of(whole)), CHUNK)
        return None

    def size(self, digest: Digest) -> int | None:
        """The size of an object. None if it is missing."""
        with store_errors(self.name), suppress(FileNotFoundError):
            return self._store.head(_path(digest))["size"]
        return None

    def file(self, digest: Digest) -> Path | None:
        """None: a bucket has no files."""
        del digest
        return None

    def url(self, digest: Digest, expires_in: timedelta) -> str:
        """A presigned URL of a blob."""
        with store_errors(self.name):
            return obstore.sign(self._store, "GET", _path(digest), expires_in)

    def put(self, digest: Digest, size: int, source: BinaryIO) -> None:
        """Store a blob in parts. An upload that fails leaves no object."""
        self._put(digest, verified(source, digest, size))

    def delete(self, digest: Digest, timeout: timedelta) -> None:
        """Delete an object with one request that ends within `timeout`."""
        client: ClientConfig = {**_CLIENT, "timeout": timeout}
        once = S3Store.from_url(self._url, client_options=client, retry_config={"max_retries": 0})
        with store_errors(self.name), suppress(FileNotFoundError):
            once.delete(_path(digest))

    def blobs(self) -> Iterator[StoredBlob]:
        """All objects with the name of a blob, in the order of digests."""
        with store_errors(self.name):
            for page in self._store.list(_BLOBS, chunk_size=1000):
                for found in page:
                    folder, _, name = found["path"].removeprefix(f"{_BLOBS}/").partition("/")
                    with suppress(SpecError):
                        digest = Digest(f"sha256:{name}")
                        if folder == name[:2]:
                            yield StoredBlob(digest, found["size"], found["last_modified"])

    def append(self, session: str, offset: int, data: bytes) -> None:
        """Store a chunk of a session as an object."""
        if data:
            with store_errors(self.name):
                self._store.put(f"{_UPLOADS}/{session}/{offset:0{_DIGITS}}", data)

    def finish(self, session: str, digest: Digest, size: int) -> None:
        """Join the chunks of a session, and remove them.

        Raises `DigestMismatchError`, `BlobSizeError` and `UploadLostError`.
        """
        with store_errors(self.name):
            chunks = self._chunks(session)
        try:
            self._put(digest, self._joined(session, chunks, digest, size))
        except (DigestMismatchError, BlobSizeError):
            self._remove(chunks)
            raise
        self._remove(chunks)

    def abort(self, session: str) -> None:
        """Remove the chunks of a session, if there are any."""
        with store_errors(self.name):
            self._remove(self._chunks(session))

    def _remove(self, chunks: list[tuple[str, int]]) -> None:
        if chunks:
            with store_errors(self.name), suppress(FileNotFoundError):
                self._store.delete([path for path, _ in chunks])

    def sessions(self) -> Iterator[str]:
        """The sessions that have chunks."""
        with store_errors(self.name):
            found = self._store.list_with_delimiter(_UPLOADS)
            yield from sorted(prefix.rpartition("/")[2] for prefix in found["common_prefixes"])

    def tidy(self, before: datetime) -> int:
        """Abort multipart uploads of blobs that began before a time.

        Needs keys in the `AWS_*` variables; with a role, a lifecycle rule of the bucket has to.
        """
        access = BucketAccess.of(self._store.config["bucket"], os.environ)
        if access is None:
            return 0
        prefix = f"{self._store.prefix}/{_BLOBS}/" if self._store.prefix else f"{_BLOBS}/"
        uploads = MultipartUploads(self.name, access, prefix)
        old = [found for found in uploads.unfinished() if found.begun_at < before]
        for found in old:
            uploads.abort(found)
        return len(old)

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes of an object from `start` until before `end`, in chunks."""
        with store_errors(self.name):
            options: GetOptions = {"range": (start, end)}
            yield from self._chunks_of(self._store.get(path, options=options))

    def _chunks_of(self, result: "GetResult") -> Iterator[bytes]:
        with store_errors(self.name):
            for chunk in result.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    def _put(self, digest: Digest, chunks: Iterator[bytes]) -> None:
        """Store an object; `chunks` raises if the bytes are not those of the digest.

        A writer that is not closed makes no object. The server keeps its parts until `tidy`.
        """
        with store_errors(self.name):
            writer = obstore.open_writer(
                self._store, _path(digest), buffer_size=_PART, max_concurrency=_PARTS
            )
            for chunk in chunks:
                writer.write(chunk)
            writer.close()

    def _chunks(self, session: str) -> list[tuple[str, int]]:
        """The paths and sizes of a session's chunks, in order."""
        pages = self._store.list(f"{_UPLOADS}/{session}", chunk_size=1000)
        return sorted((found["path"], found["size"]) for page in pages for found in page)

    def _joined(
        self, session: str, chunks: list[tuple[str, int]], digest: Digest, size: int
    ) -> Iterator[bytes]:
        """The bytes of a session's chunks, hashed while they are read."""
        hashed, position = hashlib.sha256(), 0
        for path, length in chunks:
            if int(path.rpartition("/")[2]) != position:
                raise UploadLostError(session)
            for chunk in self.read(path, 0, length):
                hashed.update(chunk)
                yield chunk
            position += length
        if position < size:
            raise UploadLostError(session)
        if position > size:
            raise BlobSizeError(digest, expected=size, found="longer")
        found = Digest.from_bytes(hashed.digest())
        if found != digest:
            raise DigestMismatchError("a blob", expected=digest.text, found=found.text)


@contextmanager
def store_errors(name: str) -> Iterator[None]:
    """Translate errors of a bucket to errors about the store of this name."""
    try:
        yield
    except (BaseError, FileNotFoundError) as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise BlobStoreError(name, reason) from problem


class _ObjectReader(RawIOBase):
    """The chunks of an object, or of a part of it, as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._bytes = chunks
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into a buffer. Returns their number, 0 at the end."""
        if not self._rest:
            self._rest = next(self._bytes, b"")
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _path(digest: Digest) -> str:
    return f"{_BLOBS}/{digest.hex[:2]}/{digest.hex}"


class BucketTree:
    """A `StaticTree` below a prefix of a bucket."""

    def __init__(self, url: str) -> None:
        self.name = url
        self._store = S3Store.from_url(url, client_options=_CLIENT, retry_config=_RETRIES)

    def put(self, path: str, data: bytes, *, immutable: bool = False) -> None:
        """Write a file, with the headers that servers of the bucket send."""
        age = "public, max-age=31536000, immutable" if immutable else "public, max-age=10"
        attributes: Attributes = {
            "Content-Type": "application/json",
            "Cache-Control": age,
        }
        with store_errors(self.name):
            self._store.put(path, data, attributes=attributes)

    def get(self, path: str) -> bytes | None:
        """Read a file. None if it is missing."""
        with store_errors(self.name), suppress(FileNotFoundError):
            return bytes(self._store.get(path).bytes())
        return None

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        with store_errors(self.name), suppress(FileNotFoundError):
            self._store.delete(path)

    def paths(self, prefix: str = "") -> Iterator[str]:
        """The paths of all files that begin with `prefix`, sorted."""
        folder = prefix.rpartition("/")[0]
        with store_errors(self.name):
            for page in self._store.list(folder or None, chunk_size=1000):
                for found in page:
                    if found["path"].startswith(prefix):
                        yield found["path"]
