"""Read regular files by byte range. A limited number of a model's shards is open at a time."""

import os
import stat
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skillpm.checkpoint.damage import missing_file
from skillpm.errors import IntegrityError, SpecError
from skillpm.files.errors import read_error
from skillpm.files.hashing import is_mostly_holes

FileKey = tuple[int, int, int, int, int]
"""Device, inode, size, mtime and ctime in ns. It changes when the file does."""
OPEN_LIMIT = 64
"""The most shards that are open at a time. macOS allows 256 open files per process by default."""


class OpenFile:
    """A regular file that any thread can read by position. It is not memory-mapped.

    It stays open, so it can be read even after its path is removed.
    """

    def __init__(self, path: Path, fd: int | None = None) -> None:
        """Open the file at `path`, or take over the open descriptor `fd`."""
        self.path = path
        self._fd = _open(path) if fd is None else fd
        try:
            _check_readable(self._fd, path)
        except SpecError:
            os.close(self._fd)
            self._fd = -1
            raise
        self.size = os.fstat(self._fd).st_size

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` until before `stop`.

        Raises `IntegrityError` if the file is shorter, and `StateError` if it cannot be read.
        """
        try:
            with self.descriptor() as fd:
                data = os.pread(fd, stop - start, start)
                while len(data) < stop - start:
                    more = os.pread(fd, stop - start - len(data), start + len(data))
                    if not more:
                        raise IntegrityError(f"`{self.path}` ended at byte {start + len(data)}")
                    data += more
        except OSError as problem:
            raise read_error(self.path, problem) from problem
        return data

    def key(self) -> FileKey:
        """The key of the file as it is now; see `FileKey`."""
        with self.descriptor() as fd:
            return _key(fd)

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """The file descriptor, for calls that share the file's blocks. Do not close it."""
        yield self._fd

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


class ShardFile(OpenFile):
    """A file of a model that may have hundreds of shards: at most `OPEN_LIMIT` of them are open.

    A closed shard is opened again by its path when it is read. Raises `IntegrityError` if the path
    then leads to another file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._inode = _key(self._fd)[:3]
        self._users = 1
        _SHARDS.enter(self)
        self._leave()

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """The file descriptor, which stays open within the block."""
        with _SHARDS.lock:
            if self._fd < 0:
                self._reopen()
            self._users += 1
            _SHARDS.enter(self)
        try:
            yield self._fd
        finally:
            self._leave()

    def _leave(self) -> None:
        with _SHARDS.lock:
            self._users -= 1

    def _reopen(self) -> None:
        fd = _open(self.path)
        if _key(fd)[:3] != self._inode:
            os.close(fd)
            raise IntegrityError(f"`{self.path}` was replaced while it was being read")
        self._fd = fd

    @property
    def is_open(self) -> bool:
        """Whether the file has an open descriptor."""
        return self._fd >= 0

    def close_idle(self) -> bool:
        """Close the file unless a read is in progress; return whether it is closed now.

        The caller holds the lock of the pool.
        """
        if self._users:
            return False
        os.close(self._fd)
        self._fd = -1
        return True

    def __del__(self) -> None:
        _SHARDS.leave(self)
        super().__del__()


class _ShardPool:
    """The open shards, the least recently used first."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._open: OrderedDict[int, weakref.ref[ShardFile]] = OrderedDict()

    def enter(self, file: ShardFile) -> None:
        """Mark a file as just used. Above `OPEN_LIMIT`, close the least recently used file."""
        with self.lock:
            self._open[id(file)] = weakref.ref(file)
            self._open.move_to_end(id(file))
            if len(self._open) > OPEN_LIMIT:
                self._close_oldest()

    def _close_oldest(self) -> None:
        for number, reference in list(self._open.items()):
            file = reference()
            if file is None or file.close_idle():
                del self._open[number]
                return

    def leave(self, file: ShardFile) -> None:
        """Remove a file that is being deleted."""
        with self.lock:
            self._open.pop(id(file), None)


_SHARDS = _ShardPool()


def _open(path: Path) -> int:
    """Open a file for reading. Raises `NotFoundError`, `StateError` or `SpecError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a device or a pipe has side effects
            raise SpecError(f"`{path}` is not a regular file")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as problem:
        raise missing_file(path) from problem
    except OSError as problem:
        raise read_error(path, problem) from problem


def _check_readable(fd: int, path: Path) -> None:
    """Raise `SpecError` unless `fd` is a regular file that is not mostly holes."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise SpecError(f"`{path}` is not a regular file")
    if is_mostly_holes(status):
        raise SpecError(
            f"`{path}` is a sparse file of {status.st_size} bytes, of which less than 1 % are on "
            "disk; skillpm does not read such files"
        )


def _key(fd: int) -> FileKey:
    status = os.fstat(fd)
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
