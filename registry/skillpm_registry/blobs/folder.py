"""The blobs of a registry in files: `blobs/sha256/<2 hex>/<64 hex>` in its folder."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from skillpm.errors import IntegrityError, SpecError
from skillpm.files.access import RegistryFolder
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.spec.digests import Digest
from skillpm_registry.blobs.partial import PartialFiles
from skillpm_registry.blobs.protocol import OpenBlob, StoredBlob
from skillpm_registry.blobs.verify import verified
from skillpm_registry.db.disk import TMP, locked, read_errors, write_errors
from skillpm_registry.db.files import BLOBS
from skillpm_registry.errors import BlobKindError, RegistryBusyError, SourceUnreadableError

_ALGORITHM = "sha256"
_TIMEOUT = 600.0
"""Seconds to wait for a process that migrates the registry or removes unfinished files."""


@dataclass(frozen=True, slots=True)
class Blobs:
    """The blobs of the registry in `folder`: a `BlobStore`.

    Unfinished files are in `tmp`. Writers hold the registry's lock, shared or exclusive, because
    the holder of the exclusive lock removes what killed writers left there.
    """

    folder: Path
    partial: PartialFiles = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partial", PartialFiles(self.folder))

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def open(self, digest: Digest, start: int = 0, length: int | None = None) -> BinaryIO | None:
        """Open a blob's file at an offset, without hashing it; None if there is no file.

        The stream does not end after `length` bytes. Raises `BlobKindError` if the path is a link,
        pipe, device or folder.
        """
        del length
        with (
            read_errors(self.folder),
            suppress(MissingFileError),
            RegistryFolder.open(self.folder) as top,
            top.below(*_blob_folder(digest)) as folder,
        ):
            try:
                source = folder.open_file(digest.hex)
            except WrongKindError as problem:
                raise BlobKindError(self.folder, digest, found=problem.found) from problem
            source.seek(start)
            return source
        return None

    def size(self, digest: Digest) -> int | None:
        """The size of a blob's file. None if there is no file."""
        source = self.open(digest)
        if source is None:
            return None
        with source:
            return os.fstat(source.fileno()).st_size

    def file(self, digest: Digest) -> Path | None:
        """The path of a blob's file. None if there is no regular file."""
        path = self.folder.joinpath(*_blob_folder(digest), digest.hex)
        with suppress(OSError):
            return path if stat.S_ISREG(path.lstat().st_mode) else None
        return None

    def url(self, digest: Digest, expires_in: timedelta) -> None:
        """None: a folder has no URLs."""
        del digest, expires_in

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether the registry has the blob with intact content. Reads the whole blob."""
        try:
            source = self.open(digest)
            if source is None:
                return False
            with source:
                return all(verified(source, digest, size))
        except (IntegrityError, SourceUnreadableError):
            return False

    def put(self, digest: Digest, size: int, source: BinaryIO) -> None:
        """Store a blob durably. Raises `DigestMismatchError` and `BlobSizeError`."""
        with locked(self.folder, _TIMEOUT, shared=True):
            self.store({digest: size}, lambda _digest: source)

    def add(self, sizes: Mapping[Digest, int], open_blob: OpenBlob) -> None:
        """Store blobs durably, except those that are intact. Hold the registry's lock.

        Existing blobs are hashed again and kept if intact, else replaced. No blob is stored unless
        all are valid: raises `IntegrityError` if the bytes from `open_blob` do not have the digest
        or the size.
        """
        self.store(self.lacking(sizes), open_blob)

    def lacking(self, sizes: Mapping[Digest, int]) -> dict[Digest, int]:
        """Those of these blobs that are missing or damaged. Reads the others whole."""
        return {digest: size for digest, size in sizes.items() if not self.holds(digest, size)}

    def store(self, sizes: Mapping[Digest, int], open_blob: OpenBlob) -> None:
        """Store blobs durably, and replace their files. Hold the registry's lock."""
        with self.staging() as staged:
            staged.add(sizes, open_blob)
            staged.place()

    @contextmanager
    def staging(self) -> Iterator["StagedBlobs"]:
        """A place for blobs that are not visible yet. At the end, the rest is removed."""
        staged = StagedBlobs(self)
        try:
            yield staged
        finally:
            staged.discard()

    def sweep(self) -> int:
        """Remove unfinished files of killed writers. Hold the registry's exclusive lock.

        Returns how many there were.
        """
        with write_errors(self.folder), self.aside() as aside:
            leftovers = aside.names()
            for leftover in leftovers:
                aside.remove_tree(leftover)
        return len(leftovers)

    def delete(self, digest: Digest, timeout: timedelta) -> None:
        """Remove a blob's file, if there is one."""
        del timeout
        with (
            write_errors(self.folder),
            suppress(MissingFileError),
            RegistryFolder.open(self.folder) as top,
            top.below(*_blob_folder(digest)) as folder,
        ):
            folder.remove(digest.hex)
            folder.sync()

    def blobs(self) -> Iterator[StoredBlob]:
        """All regular files with the name of a blob, in the order of digests."""
        with suppress(MissingFileError), read_errors(self.folder):
            with RegistryFolder.open(self.folder) as top:
                every = top.below(BLOBS, _ALGORITHM)
            with every:
                for name in sorted(every.names()):
                    with every.below(name) as folder:
                        statuses = sorted(folder.statuses())
                    for file, status in statuses:
                        if stat.S_ISREG(status.st_mode) and file[:2] == name:
                            with suppress(SpecError):
                                moment = datetime.fromtimestamp(status.st_mtime, UTC)
                                digest = Digest(f"{_ALGORITHM}:{file}")
                                yield StoredBlob(digest, status.st_size, moment)

    def append(self, session: str, offset: int, data: bytes) -> None:
        """Store bytes of a session durably at an offset. Raises `UploadLostError`."""
        self.partial.append(session, offset, data)

    def finish(self, session: str, digest: Digest, size: int) -> None:
        """Make the bytes of a session the file of a blob.

        Raises `DigestMismatchError` and `BlobSizeError`.
        """
        finished = self.partial.finished(session, digest, size)
        with finished as (folder, name), write_errors(self.folder):
            self.move({digest: name}, folder)

    def abort(self, session: str) -> None:
        """Remove the bytes of a session, if there are any."""
        self.partial.abort(session)

    def sessions(self) -> Iterator[str]:
        """The sessions that have bytes."""
        return self.partial.sessions()

    def tidy(self, before: datetime) -> int:
        """Remove unfinished files, unless a writer is at work. No writer can use them any more."""
        del before
        with suppress(RegistryBusyError), locked(self.folder, 0):
            return self.sweep()
        return 0

    def aside(self) -> RegistryFolder:
        """The folder for unfinished files."""
        with RegistryFolder.open(self.folder) as top:
            return top.subfolder(TMP, create=True)

    def move(self, names: Mapping[Digest, str], source: RegistryFolder) -> None:
        """Move files of a folder to the places of blobs, durably."""
        with RegistryFolder.open(self.folder) as top:
            for digest, name in names.items():
                with top.below(*_blob_folder(digest), create=True) as folder:
                    status = folder.status(digest.hex)
                    if status is not None and stat.S_ISDIR(status.st_mode):
                        folder.remove_tree(digest.hex)  # A rename cannot replace a folder.
                    source.move(name, folder, digest.hex)
                    folder.sync()
            # The blobs' names must be durable before the catalogue refers to them.
            for above in ((BLOBS, _ALGORITHM), (BLOBS,)):
                with top.below(*above, create=True) as folder:
                    folder.sync()
            top.sync()


class StagedBlobs:
    """Blobs in unfinished files, verified and durable, until they are placed."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._mark = token_hex(8)
        self._names: dict[Digest, str] = {}

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._names

    def add(self, sizes: Mapping[Digest, int], open_blob: OpenBlob) -> None:
        """Read, verify and sync blobs. Raises `DigestMismatchError` and `BlobSizeError`."""
        for digest, size in sizes.items():
            name = self._names[digest] = f"{digest.hex}.{self._mark}"
            with (
                open_blob(digest) as source,
                write_errors(self._blobs.folder),
                self._blobs.aside() as aside,
                aside.new_file(name) as target,
            ):
                for chunk in verified(source, digest, size):
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())

    def place(self) -> None:
        """Make all blobs visible."""
        with write_errors(self._blobs.folder), self._blobs.aside() as aside:
            self._blobs.move(self._names, aside)
        self._names.clear()

    def discard(self) -> None:
        """Remove the files that were not placed."""
        if self._names:
            with write_errors(self._blobs.folder), self._blobs.aside() as aside:
                for name in self._names.values():
                    aside.remove(name)


def _blob_folder(digest: Digest) -> tuple[str, str, str]:
    """The names of the nested folders, below the registry's folder, that contain a blob."""
    return BLOBS, _ALGORITHM, digest.hex[:2]
