"""Regular files by byte range: kept open, or opened again where there are too many of them."""

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

_LARGE = 1 << 30
_DISK_BLOCK = 512
"""Bytes: the unit of `st_blocks`, whatever the file system's own."""
FileKey = tuple[int, int, int, int, int]
OPEN_LIMIT = 64
"""Shards of models that are open at once: macOS gives a process 256 files by default."""


def _is_mostly_holes(status: os.stat_result) -> bool:
    """Whether reading a file takes far longer than anyone took to write it.

    Of a file over 1 GB, a hundredth at least should be on the disk. File systems that do not count
    blocks say 0.
    """
    stored = status.st_blocks * _DISK_BLOCK
    return status.st_size > _LARGE and 0 < stored < status.st_size // 100


class OpenFile:
    """A regular file that is read by position, from any thread. It never maps memory.

    It stays open, so that its bytes can be read even after its path is gone.
    """

    def __init__(self, path: Path, fd: int | None = None) -> None:
        """Open the file at `path`, or take over `fd`, which was opened already."""
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
        """The bytes from `start` to before `stop`. Raises `IntegrityError` where the file ends."""
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
        """What changes when the file does: device, inode, size, mtime and ctime in ns."""
        with self.descriptor() as fd:
            return _key(fd)

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """The file descriptor, for calls that share the file's blocks; it stays this object's."""
        yield self._fd

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


class ShardFile(OpenFile):
    """A file of a model, of which hundreds may be in use: at most `OPEN_LIMIT` are open at once.

    One that was closed in between is opened again by its path. Raises `IntegrityError` where
    another file has taken that path.
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
        """Whether it holds a descriptor now."""
        return self._fd >= 0

    def close_idle(self) -> bool:
        """Close the file unless a read is under way; call it under the lock of the pool."""
        if self._users:
            return False
        os.close(self._fd)
        self._fd = -1
        return True

    def __del__(self) -> None:
        _SHARDS.leave(self)
        super().__del__()


class _ShardPool:
    """The shards that are open, the least recently read first."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._open: OrderedDict[int, weakref.ref[ShardFile]] = OrderedDict()

    def enter(self, file: ShardFile) -> None:
        """Note that a file was just used; close the one that was not used for longest."""
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
        """Forget a file that is going away."""
        with self.lock:
            self._open.pop(id(file), None)


_SHARDS = _ShardPool()


def _open(path: Path) -> int:
    """A descriptor of a file. Raises `NotFoundError`, `StateError` or `SpecError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a device or a pipe may do something
            raise SpecError(f"`{path}` is not a regular file")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as problem:
        raise missing_file(path) from problem
    except OSError as problem:
        raise read_error(path, problem) from problem


def _check_readable(fd: int, path: Path) -> None:
    """Raise `SpecError` unless it is a regular file that is not nearly all holes."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise SpecError(f"`{path}` is not a regular file")
    if _is_mostly_holes(status):
        raise SpecError(
            f"`{path}` has {status.st_size} bytes, nearly all of them holes: it is not read"
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
