"""The unfinished bytes of upload sessions in a folder: one file for each session in `uploads`."""

import fcntl
import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from skillpm.errors import DigestMismatchError
from skillpm.files.access import RegistryFolder
from skillpm.spec.digests import Digest
from skillpm_registry.blobs.protocol import CHUNK
from skillpm_registry.db.disk import write_errors
from skillpm_registry.db.files import UPLOADS
from skillpm_registry.errors import BlobSizeError
from skillpm_registry.refusals import UploadLostError

_HASHES = 1024
"""Unfinished hashes that are kept in memory."""
_NAME = re.compile(r"[0-9a-f]{16,64}")
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PartialFiles:
    """The files of upload sessions. Bytes that were written once are never changed.

    Therefore the hash of the bytes that have arrived can be kept in memory, even if several
    processes write to one session. After a restart, the prefix is hashed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._lock = Lock()

    def append(self, session: str, offset: int, data: bytes) -> None:
        """Write bytes durably at an offset, up to which the file must have bytes.

        Bytes that are there already must be the same. Raises `UploadLostError`.
        """
        with write_errors(self._folder), self._open(session, create=True) as fd:
            size = os.fstat(fd).st_size
            known = os.pread(fd, max(0, min(size - offset, len(data))), offset)
            if offset > size or data[: len(known)] != known:
                raise UploadLostError(session)
            _write(fd, memoryview(data)[len(known) :], offset + len(known))
            os.fsync(fd)
            self._update(session, offset, data)

    @contextmanager
    def finished(
        self, session: str, digest: Digest, size: int
    ) -> Iterator[tuple[RegistryFolder, str]]:
        """The folder and the name of a session's file, for moving it elsewhere.

        Its bytes have the digest and the size: raises `BlobSizeError` and `DigestMismatchError`,
        after removing the file.
        """
        with write_errors(self._folder), self._open(session, create=not size) as fd:
            found = os.fstat(fd).st_size
            if found < size:
                raise UploadLostError(session)
            if found > size:
                self.abort(session)
                raise BlobSizeError(digest, expected=size, found="longer")
            actual = self._digest(session, fd, size)
            if actual != digest:
                self.abort(session)
                raise DigestMismatchError("a blob", expected=digest.text, found=actual.text)
            os.fsync(fd)
            with self._uploads() as folder:
                yield folder, session
        self._forget(session)

    def abort(self, session: str) -> None:
        """Remove the file of a session, if there is one."""
        with write_errors(self._folder), self._uploads() as folder:
            if _NAME.fullmatch(session):
                folder.remove(session)
        self._forget(session)

    def sessions(self) -> Iterator[str]:
        """The sessions that have a file."""
        with write_errors(self._folder), self._uploads() as folder:
            yield from sorted(name for name in folder.names() if _NAME.fullmatch(name))

    def _uploads(self) -> RegistryFolder:
        with RegistryFolder.open(self._folder) as top:
            return top.subfolder(UPLOADS, create=True)

    @contextmanager
    def _open(self, session: str, *, create: bool) -> Iterator[int]:
        """Open a session's file, and lock it against other writers.

        Raises `UploadLostError`, also if another request has finished the session meanwhile.
        """
        if _NAME.fullmatch(session) is None:
            raise UploadLostError(session)
        with self._uploads() as folder:
            if create or folder.has(session):
                is_new = not folder.has(session)
                fd = os.open(session, _OPEN, folder.access().file, dir_fd=folder.fd)
                if is_new:
                    folder.sync()
            else:
                raise UploadLostError(session)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                now = folder.status(session)
                if now is None or not os.path.samestat(now, os.fstat(fd)):
                    raise UploadLostError(session)
                yield fd
            finally:
                os.close(fd)

    def _update(self, session: str, offset: int, data: bytes) -> None:
        """Continue the hash of a session, if it ends at the offset."""
        with self._lock:
            hashed, state = self._hashes.pop(session, (0, hashlib.sha256()))
            if hashed == offset:
                state.update(data)
                hashed += len(data)
            if hashed:
                self._hashes[session] = (hashed, state)
            while len(self._hashes) > _HASHES:
                self._hashes.popitem(last=False)

    def _digest(self, session: str, fd: int, size: int) -> Digest:
        """The digest of the first `size` bytes; reads what this process has not hashed."""
        with self._lock:
            hashed, state = self._hashes.get(session, (0, hashlib.sha256()))
            state = state.copy()
        while hashed < size:
            data = os.pread(fd, min(CHUNK, size - hashed), hashed)
            if not data:
                raise UploadLostError(session)
            state.update(data)
            hashed += len(data)
        return Digest.from_bytes(state.digest())

    def _forget(self, session: str) -> None:
        with self._lock:
            self._hashes.pop(session, None)


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
