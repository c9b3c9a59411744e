"""The file to which a blob is written before it enters the store.

Blobs of at least `RESUMABLE` bytes from a remote source go to `part-DIGEST`. That file stays if the
command is killed or the source fails, and a later command continues it. Its writer holds an `flock`
on it.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

from skillpm.errors import IntegrityError, StateError
from skillpm.files.access import HomeFolder
from skillpm.files.hashing import CHUNK
from skillpm.parallel import Advance
from skillpm.spec.digests import Digest
from skillpm.store.errors import WrongBlobError

RESUMABLE = 1 << 20
PART = "part-"
_OPEN_PART = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class StalePartError(Exception):
    """A partial file of an earlier command had wrong bytes, and was removed."""


@runtime_checkable
class RemoteStream(Protocol):
    """A stream that can start in the middle of a blob."""

    def start_at(self, offset: int, size: int) -> None:
        """Read from `offset` on; the whole blob has `size` bytes."""
        ...


@dataclass(frozen=True)
class StagedBlob:
    """An open file in the staging folder. `is_part` says that it outlives a failed command."""

    folder: HomeFolder
    name: str
    file: BinaryIO
    is_part: bool

    def fill(self, stream: BinaryIO, digest: Digest, size: int, advance: Advance) -> None:
        """Copy the stream behind what the file has, durably, and check size and digest.

        Raises `WrongBlobError`; `StalePartError` if the file began with bytes of an earlier command
        and the digest differs; `StateError` if the stream cannot be read.
        """
        hashed = hashlib.sha256()
        kept = self._rehash(hashed, size, advance) if self.is_part else 0
        if isinstance(stream, RemoteStream):
            stream.start_at(kept, size)
        total = kept
        while total <= size and (chunk := _read(stream, min(CHUNK, size + 1 - total), digest)):
            hashed.update(chunk)
            self.file.write(chunk)
            total += len(chunk)
            advance(len(chunk))
        found = Digest.from_bytes(hashed.digest())
        if found != digest or total != size:
            if kept:
                raise StalePartError
            raise WrongBlobError(digest, size, found=str(found))
        self.file.flush()
        os.fsync(self.file.fileno())

    def _rehash(self, hashed: "hashlib._Hash", size: int, advance: Advance) -> int:
        """Hash what an earlier command wrote; return its size. Empties a file that is too long."""
        if os.fstat(self.file.fileno()).st_size > size:
            self.file.truncate(0)
        while chunk := self.file.read(CHUNK):
            hashed.update(chunk)
            advance(len(chunk))
        return self.file.tell()


@contextmanager
def staged_blob(staging: HomeFolder, digest: Digest, *, resumable: bool) -> Iterator[StagedBlob]:
    """Open the file for a blob. It is removed at the end, unless it was moved away.

    A partial file stays after an error of the source, but not after one of the disk or of the
    bytes.
    """
    part = _open_part(staging, f"{PART}{digest.hex}") if resumable else None
    name = f"in-{os.getpid()}-{os.urandom(8).hex()}"
    staged = part or StagedBlob(staging, name, staging.new_file(name), is_part=False)
    try:
        with staged.file:
            yield staged
    except BaseException as problem:
        is_over = isinstance(problem, OSError | IntegrityError | StalePartError)
        if is_over or not staged.is_part:
            with suppress(StateError):
                staging.remove(staged.name)
        raise


def _open_part(staging: HomeFolder, name: str) -> StagedBlob | None:
    """Open a partial file for this process alone; None if another process writes it."""
    fd = os.open(name, _OPEN_PART, 0o600, dir_fd=staging.fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        if (
            staging.leads_to(name, fd)
            and stat.S_ISREG(status.st_mode)
            and status.st_uid == os.geteuid()
        ):
            os.fchmod(fd, staging.access().file)
            return StagedBlob(staging, name, os.fdopen(fd, "r+b", buffering=0), is_part=True)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def remove_parts(staging: HomeFolder, before: float) -> None:
    """Remove the partial files that no process has written since a time (Unix time)."""
    for name, status in staging.statuses():
        if not name.startswith(PART) or status.st_mtime >= before:
            continue
        part = _open_part(staging, name) if stat.S_ISREG(status.st_mode) else None
        if part is None:
            continue
        with part.file:
            staging.remove(name)


def _read(stream: BinaryIO, count: int, digest: Digest) -> bytes:
    try:
        return stream.read(count)
    except OSError as problem:
        raise StateError(f"blob `{digest}` cannot be read from its source: {problem}") from problem
