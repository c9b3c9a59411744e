"""Blobs in a folder, `sha256/ab/abcd…`, verified on the way in and whenever they are used."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import DigestMismatchError, IntegrityError, NotFoundError, SpecError, StateError
from skillpm.journal.atomic import sync_folder, was_left
from skillpm.journal.owner import is_alive
from skillpm.spec.digests import Digest
from skillpm.store.presence import Presence, silent
from skillpm.store.scratch import disk_errors

_PIECE = 1 << 20


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

    From its first use to the end of the process (or of this object) nobody removes a blob: the
    store's lock is held with others. `taken` is what was brought in, with the size of each.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = silent, wait: float = 0) -> None:
        self.folder = folder
        self.taken: dict[Digest, int] = {}
        self._presence = Presence(folder, say, wait)
        self._verified: dict[Digest, OpenFile] = {}

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else uses the store while the block runs; see `Presence.alone`."""
        return self._presence.alone()

    def close(self) -> None:
        """Let `gc` have the blobs that nobody else uses."""
        self._presence.close()

    def path_of(self, digest: Digest) -> Path:
        """Where the blob lies, or would."""
        return self.folder / "sha256" / digest.hex[:2] / digest.hex

    def has(self, digest: Digest, size: int) -> bool:
        """Whether a blob of this digest's name and this size is there (not yet: is whole)."""
        self._presence.share()
        with suppress(OSError):
            return self.path_of(digest).stat().st_size == size
        return False

    def fetch(self, digest: Digest, size: int, source: BlobSource) -> int:
        """Bring a blob in from `source` unless it is here and whole; return the bytes fetched.

        The blob is on disk when this returns. Raises `DigestMismatchError` where the source gave
        other bytes; the store is then as it was.
        """
        if self.has(digest, size):
            with suppress(IntegrityError):
                self.open(digest)
                return 0
        target = self.path_of(digest)
        try:
            self._presence.share(create=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open_blob(digest) as stream:
                self._take(stream, target, digest, size)
        except OSError as problem:
            raise StateError(f"the store cannot be written: {problem.strerror}") from problem
        return size

    @property
    def _staging(self) -> Path:
        return self.folder / "tmp"

    def sweep(self) -> None:
        """Remove what processes that were killed had begun to bring in; keep `gc` away."""
        with suppress(OSError):
            self._presence.share(create=True)
        self._remove_staged(lambda pid: not is_alive(pid))

    def sweep_staging(self) -> None:
        """As `sweep`, where a command begins: what bears its own number is an earlier one's.

        Without a hold on the store: what is staged is nobody's blob yet.
        """
        self._remove_staged(was_left)

    def _remove_staged(self, left: Callable[[int], bool]) -> None:
        for stray in self._staging.glob("in-*"):
            pid = stray.name.split("-")[1]
            if pid.isdigit() and left(int(pid)):
                stray.unlink(missing_ok=True)

    def _take(self, stream: BinaryIO, target: Path, digest: Digest, size: int) -> None:
        folder, prefix = self._staging, f"in-{os.getpid()}-"
        folder.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, delete=False) as staged:
            try:
                found, count = hashlib.sha256(), 0
                while piece := stream.read(min(_PIECE, size + 1 - count)):
                    found.update(piece)
                    count += len(piece)
                    staged.write(piece)
                _check(f"blob of {size} bytes", digest, found.hexdigest(), exact=count == size)
                staged.flush()
                os.fsync(staged.fileno())
                Path(staged.name).replace(target)
            except BaseException:
                with suppress(OSError):
                    Path(staged.name).unlink()
                raise
        sync_folder(target.parent)
        self.taken[digest] = size

    def open(self, digest: Digest) -> OpenFile:
        """The blob, hashed now (once a process). Raises `IntegrityError`, or `NotFoundError`."""
        if digest not in self._verified:
            self._presence.share()
            try:
                file = OpenFile(self.path_of(digest))
            except NotFoundError as problem:
                raise NotFoundError(
                    f"blob `{digest}` is not in the store",
                    hint="`skillpm install` fetches what is missing",
                ) from problem
            found = hashlib.sha256()
            for start in range(0, file.size, _PIECE):
                found.update(file.read(start, min(start + _PIECE, file.size)))
            _check(f"`{file.path}`", digest, found.hexdigest(), exact=True)
            self._verified[digest] = file
        return self._verified[digest]

    def read(self, digest: Digest) -> bytes:
        """A small blob whole, hashed."""
        file = self.open(digest)
        return file.read(0, file.size)

    def blobs(self) -> Iterator[Digest]:
        """Every blob that is here, by name."""
        for path in sorted((self.folder / "sha256").glob("??/*")):
            with suppress(SpecError):  # what is named otherwise is none of ours
                yield Digest(f"sha256:{path.name}")

    def remove(self, digest: Digest) -> None:
        """Remove a blob. Call it within `alone`."""
        self._verified.pop(digest, None)
        path = self.path_of(digest)
        with disk_errors(self.folder):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def is_whole(self, digest: Digest) -> bool:
        """Whether a blob is here and has its digest; reads all of it, whatever was read before."""
        self._presence.share()
        found = hashlib.sha256()
        try:
            with self.path_of(digest).open("rb") as file:
                while piece := file.read(_PIECE):
                    found.update(piece)
        except OSError:
            return False
        return found.hexdigest() == digest.hex


def _check(what: str, expected: Digest, found: str, *, exact: bool) -> None:
    if found != expected.hex or not exact:
        raise DigestMismatchError(
            what,
            expected=str(expected),
            found=f"sha256:{found}",
            hint="remove the damaged file; `skillpm install` fetches it again",
        )
