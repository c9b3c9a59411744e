"""Blobs in a folder, as `sha256/ab/abcd…`. Each is hashed when it is stored and before its use."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import IntegrityError, SpecError, StateError
from skillpm.files.access import HomeFolder, open_below
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.files.hashing import digest_of, is_mostly_holes
from skillpm.journal.atomic import is_leftover
from skillpm.journal.owner import is_alive
from skillpm.parallel import Advance, no_advance
from skillpm.spec.digests import Digest
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.lock import StoreLock, silent
from skillpm.store.sources import BlobSource, InMemoryBlob
from skillpm.store.staged_blob import (
    RESUMABLE,
    RemoteStream,
    StalePartError,
    remove_parts,
    staged_blob,
)

_STAGING = "tmp"
_BLOBS = "sha256"
_PREFIX = 2
_LARGEST = 1 << 36
"""A size in bytes that no blob reaches."""


class HashingSink:
    """Writes bytes to a file and computes the digest of all bytes written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        """Write the next bytes. Returns their number."""
        self._hash.update(data)
        return self._file.write(data)

    @property
    def digest(self) -> Digest:
        """The digest of all bytes written so far."""
        return Digest.from_bytes(self._hash.digest())


class Store:
    """Content-addressed blobs. Every blob that a caller reads has been hashed in this process.

    Links in the store's folders are not followed. The object holds the store's lock in shared mode
    from its first use of a blob until it is closed, so that `gc` removes no blob meanwhile. `taken`
    maps the blobs that were fetched to their sizes in bytes.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = silent, wait: float = 0) -> None:
        self.folder = folder
        self.taken: dict[Digest, int] = {}
        self._lock = StoreLock(folder, say, wait)
        self._verified: dict[Digest, OpenFile] = {}
        self._blobs: HomeFolder | None = None
        self._guard = threading.Lock()
        self._turns: dict[Digest, threading.Lock] = {}

    def alone(self) -> AbstractContextManager[None]:
        """Hold the store's lock exclusively while the block runs; see `StoreLock.alone`."""
        return self._lock.alone()

    def close(self) -> None:
        """Release the store's lock, so that `gc` may remove blobs."""
        self._blobs = None
        self._lock.close()

    def path_of(self, digest: Digest) -> Path:
        """The path of a blob, whether or not it is in the store. Use it in messages only."""
        return Path(f"{self.folder}/{_BLOBS}/{digest.hex[:_PREFIX]}/{digest.hex}")

    def status(self, digest: Digest) -> os.stat_result | None:
        """The file status of a blob; None if it is not in the store. Raises `DeniedError`."""
        with suppress(MissingFileError, WrongKindError), self._blob_folder(digest) as folder:
            status = folder.status(digest.hex)
            if status is not None and stat.S_ISREG(status.st_mode):
                return status
        return None

    def size_of(self, digest: Digest) -> int:
        """The size of a blob's file in bytes; 0 if it is not in the store."""
        status = self.status(digest)
        return status.st_size if status else 0

    def has(self, digest: Digest, size: int) -> bool:
        """Whether the store has a blob of this digest and size. Does not hash the blob."""
        self._lock.share()
        status = self.status(digest)
        return status is not None and status.st_size == size

    def _blob_folder(self, digest: Digest, *, create: bool = False) -> HomeFolder:
        """Open the folder of a blob. Raises `MissingFileError` if it is missing."""
        if create:
            self._blobs = None  # in case the folder was removed since it was opened
            return open_below(self.folder, _BLOBS, digest.hex[:_PREFIX], create=True)
        blobs = self._blobs = self._blobs or open_below(self.folder, _BLOBS)
        return blobs.subfolder(digest.hex[:_PREFIX])

    def fetch(
        self, digest: Digest, size: int, source: BlobSource, advance: Advance = no_advance
    ) -> int:
        """Fetch a blob from `source`, unless the store has it intact. Returns the bytes fetched.

        The blob is on disk when this returns; a damaged one is replaced. Several threads may call
        this. Raises `WrongBlobError` if the source returns other bytes; the store does not change
        then.
        """
        with self._alone_with(digest):
            if digest in self.taken or self._is_intact(digest, size):
                advance(size)
                return 0
            with self._filling():
                self._lock.share(create=True)
                try:
                    self._take(digest, size, source, advance)
                except StalePartError:
                    self._take(digest, size, source, no_advance)
            return size

    def put(self, digest: Digest, data: bytes) -> int:
        """Store a blob whose bytes have been hashed, if it is missing. Returns the bytes stored."""
        return self.fetch(digest, len(data), InMemoryBlob(data))

    def _is_intact(self, digest: Digest, size: int) -> bool:
        with suppress(IntegrityError):
            return self.has(digest, size) and self.open(digest).size == size
        return False

    @contextmanager
    def _alone_with(self, digest: Digest) -> Iterator[None]:
        """Let one thread at a time work on a blob."""
        with self._guard:
            turn = self._turns.setdefault(digest, threading.Lock())
        with turn:
            yield

    @contextmanager
    def _filling(self) -> Iterator[None]:
        """Translate the errors of the disk in the block."""
        try:
            yield
        except OSError as problem:
            raise StateError(
                f"the store `{self.folder}` cannot be written: {problem.strerror}"
            ) from problem

    def sweep(self) -> None:
        """Take the store's lock in shared mode, and remove partial blobs of killed processes."""
        with suppress(StateError, OSError):
            self._lock.share(create=True)
        self._remove_staged(lambda pid: not is_alive(pid))

    def sweep_staging(self, before: float = 0) -> None:
        """Remove partial blobs of killed processes. Call it when a command begins.

        A file with the process ID of this command was left by an earlier process with the same ID
        and is removed too. Downloads that were cut off are kept, so that they can be continued, if
        they were written after `before` (Unix time). Takes no lock, because partial blobs are not
        in use.
        """
        self._remove_staged(is_leftover)
        with suppress(MissingFileError), open_below(self.folder, _STAGING) as staging:
            remove_parts(staging, before)

    def _remove_staged(self, left: Callable[[int], bool]) -> None:
        with suppress(MissingFileError), open_below(self.folder, _STAGING) as staging:
            for name in staging.names():
                kind, _, rest = name.partition("-")
                pid = rest.partition("-")[0]
                if kind == "in" and pid.isdigit() and left(int(pid)):
                    staging.remove_tree(name)

    def _take(self, digest: Digest, size: int, source: BlobSource, advance: Advance) -> None:
        with (
            source.open_blob(digest) as stream,
            self._blob_folder(digest, create=True) as folder,
            open_below(self.folder, _STAGING, create=True) as staging,
        ):
            resumable = size >= RESUMABLE and isinstance(stream, RemoteStream)
            with staged_blob(staging, digest, resumable=resumable) as staged:
                staged.fill(stream, digest, size, advance)
                status = folder.status(digest.hex)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    folder.remove_tree(digest.hex)  # A rename cannot replace a folder by a file.
                staging.move(staged.name, folder, digest.hex)
            folder.sync()
        self._verified.pop(digest, None)
        self.taken[digest] = size

    def open(self, digest: Digest) -> OpenFile:
        """Open a blob. The first call in a process hashes the whole blob.

        Raises `DamagedBlobError`, `MissingBlobError`, and `DeniedError` if it cannot be read.
        """
        return self._verify(digest, self._verified.get(digest) or self._open_file(digest))

    def open_sized(self, digest: Digest, size: int) -> OpenFile:
        """Open a blob of a known size. A file of another size is damaged and is not read."""
        file = self._verified.get(digest) or self._open_file(digest)
        if file.size != size:
            found = f"a file of {file.size} bytes instead of {size}"
            raise DamagedBlobError(digest, self.path_of(digest), found=found)
        return self._verify(digest, file)

    def _open_file(self, digest: Digest) -> OpenFile:
        """Open the file of a blob, without reading it."""
        self._lock.share()
        path = self.path_of(digest)
        try:
            with self._blob_folder(digest) as folder, folder.reading(digest.hex) as fd:
                status = os.fstat(fd)
                if is_mostly_holes(status, largest=_LARGEST):
                    found = f"a sparse file of {status.st_size} bytes, nearly all holes"
                    raise DamagedBlobError(digest, path, found=found)
                return OpenFile(path, os.dup(fd))
        except MissingFileError as problem:
            raise MissingBlobError(digest) from problem
        except WrongKindError as problem:
            raise DamagedBlobError(digest, path, found=problem.found) from problem

    def _verify(self, digest: Digest, file: OpenFile) -> OpenFile:
        """Hash the file, unless this process has; keep it open. Raises `DamagedBlobError`."""
        if digest in self._verified:
            return file
        actual = digest_of(file)
        if actual != digest:
            raise DamagedBlobError(digest, self.path_of(digest), found=str(actual))
        self._verified[digest] = file
        return file

    def read(self, digest: Digest) -> bytes:
        """The whole content of a small blob, after hashing it."""
        file = self.open(digest)
        return file.read(0, file.size)

    def blobs(self) -> Iterator[Digest]:
        """The digests of all blobs in the store, sorted. Blobs are not hashed."""
        with suppress(MissingFileError), open_below(self.folder, _BLOBS) as folders:
            for name in folders.names():
                with suppress(MissingFileError, WrongKindError):
                    yield from self._digests_in(folders, name)

    @staticmethod
    def _digests_in(folders: HomeFolder, prefix: str) -> Iterator[Digest]:
        with folders.subfolder(prefix) as folder:
            for name in folder.names():
                if name.startswith(prefix) and len(prefix) == _PREFIX:
                    with suppress(SpecError):  # A file of any other name is not a blob.
                        yield Digest(f"sha256:{name}")

    def remove(self, digest: Digest) -> None:
        """Remove a blob. Call it within `alone`."""
        self._verified.pop(digest, None)
        with suppress(MissingFileError), self._blob_folder(digest) as folder:
            folder.remove_tree(digest.hex)
        with suppress(OSError):
            self.path_of(digest).parent.rmdir()

    def redate(self, digest: Digest, seconds: float) -> None:
        """Set the time at which a blob was stored (Unix time). Call it within `alone`."""
        with suppress(MissingFileError, OSError), self._blob_folder(digest) as folder:
            os.utime(digest.hex, (seconds, seconds), dir_fd=folder.fd, follow_symlinks=False)

    def is_whole(self, digest: Digest) -> bool:
        """Whether the store has a blob with intact content. Always reads the whole blob.

        Raises `DeniedError` if the blob cannot be read, because its content is then unknown.
        """
        self._lock.share()
        try:
            with self._blob_folder(digest) as folder, folder.open_file(digest.hex) as file:
                if is_mostly_holes(os.fstat(file.fileno()), largest=_LARGEST):
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
        except (MissingFileError, WrongKindError):
            return False
        except OSError as problem:
            raise StateError(f"`{self.path_of(digest)}` cannot be read: {problem}") from problem
