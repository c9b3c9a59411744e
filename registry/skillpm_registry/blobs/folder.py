"""The blobs of a registry, in files beside the catalogue."""

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
from skillpm.files.hashing import HashingReader
from skillpm.spec.digests import Digest
from skillpm_registry.db.disk import TMP, read_errors, write_errors
from skillpm_registry.db.files import BLOBS
from skillpm_registry.errors import BlobKindError, BlobSizeError, SourceUnreadableError

OpenBlob = Callable[[Digest], BinaryIO]


def verified(source: BinaryIO, digest: Digest, size: int) -> Iterator[bytes]:
    """Yield the bytes of `source` in chunks, and check size and digest at the end.

    Reads at most one byte more than `size`. Raises `DigestMismatchError` and `BlobSizeError`.
    """

    def unreadable(problem: OSError) -> SourceUnreadableError:
        return SourceUnreadableError(digest, problem.strerror or str(problem))

    reader = HashingReader(source, unreadable)
    for chunk in reader.chunks(size):
        if reader.size > size:
            raise BlobSizeError(digest, expected=size, found="longer")
        yield chunk
    if reader.size < size:
        raise BlobSizeError(digest, expected=size, found=str(reader.size))
    if reader.digest != digest:
        raise DigestMismatchError("a blob", expected=digest.text, found=reader.digest.text)


@dataclass(frozen=True, slots=True)
class Blobs:
    """The blobs of the registry in `folder`. Hold the registry's lock to add blobs."""

    folder: Path

    def open(self, digest: Digest) -> BinaryIO | None:
        """Open a blob's file, without hashing it; None if there is no file.

        Raises `BlobKindError` if the path is a link, pipe, device or folder.
        """
        with (
            read_errors(self.folder),
            suppress(MissingFileError),
            RegistryFolder.open(self.folder) as top,
            top.below(*_blob_folder(digest)) as folder,
        ):
            try:
                return folder.open_file(digest.hex)
            except WrongKindError as problem:
                raise BlobKindError(self.folder, digest, found=problem.found) from problem
        return None

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

    def add(self, sizes: Mapping[Digest, int], open_blob: OpenBlob) -> None:
        """Store blobs durably.

        Existing blobs are hashed again and kept if intact, else replaced. No blob is stored unless
        all are valid: raises `IntegrityError` if the bytes from `open_blob` do not have the digest
        or the size.
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
        """Remove unfinished files of killed writers. Call it under the registry's lock."""
        with write_errors(self.folder), self._aside() as aside:
            for leftover in aside.names():
                aside.remove_tree(leftover)

    def _aside(self) -> RegistryFolder:
        """The folder for unfinished files."""
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
                with top.below(*_blob_folder(digest), create=True) as folder:
                    status = folder.status(digest.hex)
                    if status is not None and stat.S_ISDIR(status.st_mode):
                        folder.remove_tree(digest.hex)  # A rename cannot replace a folder.
                    aside.move(digest.hex, folder, digest.hex)
                    folder.sync()
            # The blobs' names must be durable before the catalogue refers to them.
            for names in ((BLOBS, "sha256"), (BLOBS,)):
                with top.below(*names, create=True) as folder:
                    folder.sync()
            top.sync()


def _blob_folder(digest: Digest) -> tuple[str, str, str]:
    """The names of the nested folders, below the registry's folder, that contain a blob."""
    return BLOBS, "sha256", digest.hex[:2]
