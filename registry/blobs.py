"""Blobs by digest, in files beside the catalogue."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from registry.db.disk import TMP, flush, read_errors, write_errors
from registry.errors import BlobSizeError, SourceUnreadableError
from skillpm.errors import DigestMismatchError, IntegrityError
from skillpm.spec.digests import Digest

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

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, or would lie."""
        return self.folder / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def open(self, digest: Digest) -> BinaryIO | None:
        """The blob's bytes, as they are now on disk; None where it has no file."""
        with read_errors(self.folder):
            try:
                return self.path(digest).open("rb")
            except FileNotFoundError:
                return None

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether the blob is here and undamaged. Reads all of it."""
        source = self.open(digest)
        if source is None:
            return False
        with source:
            try:
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
        with write_errors(self.folder):
            tmp = self.folder / TMP
            tmp.mkdir(exist_ok=True)
            for leftover in tmp.iterdir():
                leftover.unlink()

    def _stage(self, digest: Digest, size: int, open_blob: OpenBlob) -> None:
        aside = self.folder / TMP / digest.hex
        with open_blob(digest) as source, write_errors(self.folder), aside.open("xb") as target:
            for chunk in verified(source, digest, size):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())

    def _place(self, digests: list[Digest]) -> None:
        for digest in digests:
            path = self.path(digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / TMP / digest.hex).replace(path)
        # The catalogue will promise these blobs, so their names must be on disk before it does.
        shelves = {self.path(digest).parent for digest in digests}
        for touched in {*shelves, *(up for shelf in shelves for up in shelf.parents[:3])}:
            flush(touched)
