"""Blobs by digest, in files beside the catalogue."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from skillpm.errors import DigestMismatchError, IntegrityError
from skillpm.files.access import RegistryFolder
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.spec.digests import Digest
from skillpm_registry.db.disk import TMP, read_errors, write_errors
from skillpm_registry.db.files import BLOBS
from skillpm_registry.errors import BlobKindError, BlobSizeError, SourceUnreadableError

OpenBlob = Callable[[Digest], BinaryIO]
CHUNK = 1 << 20


def verified(source: BinaryIO, digest: Digest, size: int) -> Iterator[bytes]:
    """Yield what `source` has, in pieces; raise at the end unless it was the blob asked for.

    Never reads more than one byte past `size`. Raises `DigestMismatchError` or `BlobSizeError`.
    """
    found, total = hashlib.sha256(), 0
    while chunk := _read(source, min(CHUNK, size - total + 1), digest):
        total += len(chunk)
        if total > size:
            raise BlobSizeError(digest, expected=size, found="longer")
        found.update(chunk)
        yield chunk
    if total < size:
        raise BlobSizeError(digest, expected=size, found=str(total))
    if found.hexdigest() != digest.hex:
        found_text = f"sha256:{found.hexdigest()}"
        raise DigestMismatchError("a blob", expected=digest.text, found=found_text)


def _read(source: BinaryIO, limit: int, digest: Digest) -> bytes:
    try:
        return source.read(limit)
    except OSError as problem:
        raise SourceUnreadableError(digest, problem.strerror or str(problem)) from problem


@dataclass(frozen=True, slots=True)
class Blobs:
    """The blobs of the registry in `folder`. Whoever adds any holds the registry's lock."""

    folder: Path

    def open(self, digest: Digest) -> BinaryIO | None:
        """The blob's bytes, as they are now on disk; None where it has no file.

        Raises `BlobKindError` where a link, pipe or device has its place.
        """
        with (
            read_errors(self.folder),
            suppress(MissingFileError),
            RegistryFolder.open(self.folder) as top,
            top.below(*_shelf(digest)) as shelf,
        ):
            try:
                return shelf.open_file(digest.hex)
            except WrongKindError as problem:
                raise BlobKindError(self.folder, digest, found=problem.found) from problem
        return None

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether the blob is here and undamaged. Reads all of it."""
        try:
            source = self.open(digest)
            if source is None:
                return False
            with source:
                return all(verified(source, digest, size))
        except (IntegrityError, SourceUnreadableError):
            return False

    def add(self, sizes: Mapping[Digest, int], open_blob: OpenBlob) -> None:
        """Put blobs in place, all or none, on disk when this returns.

        Those that are here are hashed again and kept; a damaged one is replaced. Raises
        `IntegrityError` where `open_blob` gives other bytes than the digest and size say.
        """
        self.sweep()
        missing = {digest: size for digest, size in sizes.items() if not self.holds(digest, size)}
        try:
            for digest, size in missing.items():
                self._stage(digest, size, open_blob)
            with write_errors(self.folder):
                self._place(list(missing))
        finally:
            self.sweep()

    def sweep(self) -> None:
        """Remove what writers left behind: only the lock's holder writes, so all of it is dead."""
        with write_errors(self.folder), self._aside() as aside:
            for leftover in aside.names():
                aside.remove_tree(leftover)

    def _aside(self) -> RegistryFolder:
        """The folder of what is being written."""
        with RegistryFolder.open(self.folder) as top:
            return top.subfolder(TMP, create=True)

    def _stage(self, digest: Digest, size: int, open_blob: OpenBlob) -> None:
        with (
            open_blob(digest) as source,
            write_errors(self.folder),
            self._aside() as aside,
            aside.new_file(digest.hex) as target,
        ):
            for chunk in verified(source, digest, size):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())

    def _place(self, digests: list[Digest]) -> None:
        with RegistryFolder.open(self.folder) as top, self._aside() as aside:
            for digest in digests:
                with top.below(*_shelf(digest), create=True) as shelf:
                    status = shelf.status(digest.hex)
                    if status is not None and stat.S_ISDIR(status.st_mode):
                        shelf.remove_tree(digest.hex)  # anything else is replaced by the rename
                    aside.move(digest.hex, shelf, digest.hex)
                    shelf.sync()
            # The catalogue will promise these blobs: their names are on disk before it does.
            for names in ((BLOBS, "sha256"), (BLOBS,)):
                with top.below(*names, create=True) as folder:
                    folder.sync()
            top.sync()


def _shelf(digest: Digest) -> tuple[str, str, str]:
    """The folders below the registry's in which a blob lies."""
    return BLOBS, "sha256", digest.hex[:2]
