"""Hashes files and streams with SHA-256, in one pass and in chunks."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Protocol

from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest

CHUNK = 1 << 20
"""Bytes of a chunk."""
_DISK_BLOCK = 512
"""The unit of `st_blocks` in bytes, on every file system."""
_LARGE = 1 << 30


class Readable(Protocol):
    """A stream that is read once, from its start to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes; empty at the end."""
        ...


class ByteRange(Protocol):
    """A file, or a part of one, that is read by position."""

    @property
    def size(self) -> int:
        """The size in bytes."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` until before `stop`."""
        ...


class RangeStream(io.RawIOBase):
    """A byte range as a stream. Streams of the same range are independent of each other."""

    def __init__(self, source: ByteRange) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into a buffer. Returns their number, 0 at the end."""
        stop = min(self._position + len(buffer), self._source.size)
        data = self._source.read(self._position, stop)
        buffer[: len(data)] = data
        self._position = stop
        return len(data)


class CountingStream(io.RawIOBase):
    """A stream that reports the bytes that are read from it."""

    def __init__(self, source: Readable, advance: Callable[[int], None]) -> None:
        self._source = source
        self._advance = advance

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into a buffer. Returns their number, 0 at the end."""
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self._advance(len(data))
        return len(data)

    def close(self) -> None:
        """Close the source too."""
        closing = getattr(self._source, "close", None)
        if closing is not None and not self.closed:
            closing()
        super().close()


def digest_of(source: ByteRange) -> Digest:
    """The digest of a whole file or part of a file. Raises the errors of its `read`."""
    return Digest.from_bytes(hashlib.file_digest(RangeStream(source), "sha256").digest())


class HashingReader:
    """Reads a stream, and computes the size and the digest of what was read.

    An `OSError` of the stream becomes the error that `unreadable` makes of it, so that the caller
    can tell it from an error of the file to which it writes.
    """

    def __init__(
        self, source: Readable, unreadable: Callable[[OSError], SkillpmError] | None = None
    ) -> None:
        self._source = source
        self._unreadable = unreadable
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes."""
        try:
            data = self._source.read(size)
        except OSError as problem:
            if self._unreadable is None:
                raise
            raise self._unreadable(problem) from problem
        self._hash.update(data)
        self.size += len(data)
        return data

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Yield the stream in chunks; reads at most one byte more than `limit`.

        The stream is longer than `limit` if `size` is, at the end.
        """
        while chunk := self.read(min(CHUNK, limit + 1 - self.size)):
            yield chunk

    @property
    def digest(self) -> Digest:
        """The digest of the bytes read so far."""
        return Digest.from_bytes(self._hash.digest())


def is_mostly_holes(status: os.stat_result, *, largest: int | None = None) -> bool:
    """Whether a file over 1 GB has less than 1 % of its bytes on disk.

    Such a file takes far longer to read than to write, which is an attack on readers. Some file
    systems report 0 blocks for every file; their files are judged by size alone: those larger than
    `largest` bytes count as holes.
    """
    stored, size = status.st_blocks * _DISK_BLOCK, status.st_size
    if size <= _LARGE or stored >= size // 100:
        return False
    return stored > 0 or (largest is not None and size > largest)
