"""Blobs in a folder, `sha256/ab/abcd…`, verified on the way in and whenever they are used."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import IntegrityError, SpecError, StateError
from skillpm.files.access import HomeFolder
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.journal.atomic import is_leftover
from skillpm.journal.owner import is_alive
from skillpm.spec.digests import Digest
from skillpm.store.errors import DamagedBlobError, MissingBlobError, WrongBlobError
from skillpm.store.presence import StoreLock, silent

_PIECE = 1 << 20
_STAGING = "tmp"
_BLOBS = "sha256"
_PREFIX = 2
_DISK_BLOCK = 512
_LARGE, _LARGEST = 1 << 30, 1 << 36
"""Bytes: from where holes are looked for, and more than any blob has."""


class HashingSink:
    """Passes bytes on to a file, and knows the digest of all of them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        """Take the next bytes."""
        self._hash.update(data)
        return self._file.write(data)

    @property
    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest.from_bytes(self._hash.digest())


class BlobSource(Protocol):
    """Where blobs come from: an index or an archive."""

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A stream of the blob's bytes; `NotFoundError` where there is none."""
        ...


class Store:
    """Content-addressed blobs. What a caller gets has been hashed in this process.

    Blobs are reached by handles of the store's folders: a link that lies in them is not followed.
    From its first use to the end of the process (or of this object) nobody removes a blob: the
    store's lock is held with others. `taken` is what was brought in, with the size of each.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = silent, wait: float = 0) -> None:
        self.folder = folder
        self.taken: dict[Digest, int] = {}
        self._presence = StoreLock(folder, say, wait)
        self._verified: dict[Digest, OpenFile] = {}

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else uses the store while the block runs; see `StoreLock.alone`."""
        return self._presence.alone()

    def close(self) -> None:
        """Let `gc` have the blobs that nobody else uses."""
        self._presence.close()

    def path_of(self, digest: Digest) -> Path:
        """Where the blob lies, or would; for messages."""
        return self.folder / _BLOBS / digest.hex[:_PREFIX] / digest.hex

    def status(self, digest: Digest) -> os.stat_result | None:
        """The file of a blob; None where there is none. Raises `DeniedError`."""
        with suppress(MissingFileError, WrongKindError), self._shelf(digest) as shelf:
            status = shelf.status(digest.hex)
            if status is not None and stat.S_ISREG(status.st_mode):
                return status
        return None

    def size_of(self, digest: Digest) -> int:
        """The bytes of a blob's file; 0 where there is none."""
        status = self.status(digest)
        return status.st_size if status else 0

    def has(self, digest: Digest, size: int) -> bool:
        """Whether a blob of this digest's name and this size is there (not yet: is whole)."""
        self._presence.share()
        status = self.status(digest)
        return status is not None and status.st_size == size

    def _shelf(self, digest: Digest, *, create: bool = False) -> HomeFolder:
        """The folder of a blob. Raises `MissingFileError` unless it is there, or made."""
        return self._below(_BLOBS, digest.hex[:_PREFIX], create=create)

    def _below(self, *names: str, create: bool = False) -> HomeFolder:
        opened = HomeFolder.make(self.folder) if create else HomeFolder.open(self.folder)
        with opened:
            return opened.below(*names, create=create)

    def fetch(self, digest: Digest, size: int, source: BlobSource) -> int:
        """Bring a blob in from `source` unless it is here and whole; return the bytes fetched.

        The blob is on disk when this returns; a damaged one is replaced. Raises
        `DigestMismatchError` where the source gave other bytes; the store is then as it was.
        """
        if digest in self.taken:
            return 0
        if self.has(digest, size):
            with suppress(IntegrityError):
                self.open(digest)
                return 0
        try:
            self._presence.share(create=True)
            with source.open_blob(digest) as stream, self._shelf(digest, create=True) as shelf:
                self._take(stream, shelf, digest, size)
        except OSError as problem:
            raise StateError(f"the store cannot be written: {problem.strerror}") from problem
        return size

    def sweep(self) -> None:
        """Remove what processes that were killed had begun to bring in; keep `gc` away."""
        with suppress(StateError, OSError):
            self._presence.share(create=True)
        self._remove_staged(lambda pid: not is_alive(pid))

    def sweep_staging(self) -> None:
        """As `sweep`, where a command begins: what bears its own number is an earlier one's.

        Without a hold on the store: what is staged is nobody's blob yet.
        """
        self._remove_staged(is_leftover)

    def _remove_staged(self, left: Callable[[int], bool]) -> None:
        with suppress(MissingFileError), self._below(_STAGING) as staging:
            for name in staging.names():
                kind, _, rest = name.partition("-")
                pid = rest.partition("-")[0]
                if kind == "in" and pid.isdigit() and left(int(pid)):
                    staging.remove_tree(name)

    def _take(self, stream: BinaryIO, shelf: HomeFolder, digest: Digest, size: int) -> None:
        name = f"in-{os.getpid()}-{os.urandom(8).hex()}"
        with self._below(_STAGING, create=True) as staging:
            try:
                with staging.new_file(name) as staged:
                    _copy(stream, staged, digest, size)
                    staged.flush()
                    os.fsync(staged.fileno())
                status = shelf.status(digest.hex)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    shelf.remove_tree(digest.hex)  # anything else is replaced by the rename
                staging.move(name, shelf, digest.hex)
            except BaseException:
                with suppress(StateError):
                    staging.remove(name)
                raise
        shelf.sync()
        self._verified.pop(digest, None)
        self.taken[digest] = size

    def open(self, digest: Digest) -> OpenFile:
        """The blob, hashed now (once a process).

        Raises `DamagedBlobError`, `MissingBlobError`; `DeniedError` where it may not be read.
        """
        if digest not in self._verified:
            self._presence.share()
            path = self.path_of(digest)
            try:
                with self._shelf(digest) as shelf, shelf.reading(digest.hex) as fd:
                    status = os.fstat(fd)
                    if _is_hollow(status):
                        found = f"a file of {status.st_size} bytes, nearly all of them holes"
                        raise DamagedBlobError(digest, path, found=found)
                    file = OpenFile(path, os.dup(fd))
            except MissingFileError as problem:
                raise MissingBlobError(digest) from problem
            except WrongKindError as problem:
                raise DamagedBlobError(digest, path, found=problem.found) from problem
            hashed = hashlib.sha256()
            for start in range(0, file.size, _PIECE):
                hashed.update(file.read(start, min(start + _PIECE, file.size)))
            if hashed.hexdigest() != digest.hex:
                raise DamagedBlobError(digest, path, found=f"sha256:{hashed.hexdigest()}")
            self._verified[digest] = file
        return self._verified[digest]

    def open_sized(self, digest: Digest, size: int) -> OpenFile:
        """As `open`, of a blob whose size is known: no byte is read where it has another."""
        status = self.status(digest)
        if status is not None and status.st_size != size:
            found = f"a file of {status.st_size} bytes instead of {size}"
            raise DamagedBlobError(digest, self.path_of(digest), found=found)
        return self.open(digest)

    def read(self, digest: Digest) -> bytes:
        """A small blob whole, hashed."""
        file = self.open(digest)
        return file.read(0, file.size)

    def blobs(self) -> Iterator[Digest]:
        """Every blob that is here, by name."""
        with suppress(MissingFileError), self._below(_BLOBS) as shelves:
            for name in shelves.names():
                with suppress(MissingFileError, WrongKindError):
                    yield from self._named(shelves, name)

    @staticmethod
    def _named(shelves: HomeFolder, name: str) -> Iterator[Digest]:
        with shelves.subfolder(name) as shelf:
            for each in shelf.names():
                if each.startswith(name) and len(name) == _PREFIX:
                    with suppress(SpecError):  # what is named otherwise is no blob
                        yield Digest(f"sha256:{each}")

    def remove(self, digest: Digest) -> None:
        """Remove a blob. Call it within `alone`."""
        self._verified.pop(digest, None)
        with suppress(MissingFileError), self._shelf(digest) as shelf:
            shelf.remove_tree(digest.hex)
        with suppress(OSError):
            self.path_of(digest).parent.rmdir()

    def redate(self, digest: Digest, seconds: float) -> None:
        """Set the time at which a blob came in. Call it within `alone`."""
        with suppress(MissingFileError, OSError), self._shelf(digest) as shelf:
            os.utime(digest.hex, (seconds, seconds), dir_fd=shelf.fd, follow_symlinks=False)

    def is_whole(self, digest: Digest) -> bool:
        """Whether a blob is here and has its digest; reads all of it, whatever was read before.

        Raises `DeniedError` where it may not be read: that says nothing about its bytes.
        """
        self._presence.share()
        found = hashlib.sha256()
        try:
            with self._shelf(digest) as shelf, shelf.open_file(digest.hex) as file:
                if _is_hollow(os.fstat(file.fileno())):
                    return False
                while piece := file.read(_PIECE):
                    found.update(piece)
        except (MissingFileError, WrongKindError):
            return False
        except OSError as problem:
            raise StateError(f"`{self.path_of(digest)}` cannot be read: {problem}") from problem
        return found.hexdigest() == digest.hex


def _is_hollow(status: os.stat_result) -> bool:
    """Whether a large file is nearly all holes: hashing terabytes of them would take for ever.

    File systems that do not count blocks say 0, so a file without any is judged by its size alone.
    """
    stored, size = status.st_blocks * _DISK_BLOCK, status.st_size
    return size > _LARGE and stored < size // 100 and (stored > 0 or size > _LARGEST)


def _copy(stream: BinaryIO, staged: BinaryIO, digest: Digest, size: int) -> None:
    """Copy at most one byte past `size`. Raises `WrongBlobError` for other bytes."""
    found, count = hashlib.sha256(), 0
    while piece := _read(stream, min(_PIECE, size + 1 - count), digest):
        found.update(piece)
        count += len(piece)
        staged.write(piece)
    if found.hexdigest() != digest.hex or count != size:
        raise WrongBlobError(digest, size, found=f"sha256:{found.hexdigest()}")


def _read(stream: BinaryIO, limit: int, digest: Digest) -> bytes:
    try:
        return stream.read(limit)
    except OSError as problem:
        raise StateError(f"blob `{digest}` cannot be read from its source: {problem}") from problem
