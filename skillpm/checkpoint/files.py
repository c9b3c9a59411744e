"""Regular files by byte range; opened once, closed with the last reference."""

import os
import stat
from pathlib import Path

from skillpm.errors import IntegrityError, NotFoundError, SpecError
from skillpm.files.errors import read_error

_LARGE = 1 << 30
_DISK_BLOCK = 512
"""Bytes: the unit of `st_blocks`, whatever the file system's own."""
FileKey = tuple[int, int, int, int, int]


def _is_mostly_holes(status: os.stat_result) -> bool:
    """Whether reading a file takes far longer than anyone took to write it.

    Of a file over 1 GB, a hundredth at least should be on the disk. File systems that do not count
    blocks say 0.
    """
    stored = status.st_blocks * _DISK_BLOCK
    return status.st_size > _LARGE and 0 < stored < status.st_size // 100


class OpenFile:
    """A regular file that is read by position, from any thread. It never maps memory."""

    def __init__(self, path: Path, fd: int | None = None) -> None:
        """Open the file at `path`, or take over `fd`, which was opened already."""
        self.path = path
        try:
            self._fd = _opened(path) if fd is None else fd
        except FileNotFoundError as problem:
            raise NotFoundError(f"there is no file `{path}`") from problem
        except OSError as problem:
            raise read_error(path, problem) from problem
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            self._fd = -1
            raise SpecError(f"`{path}` is not a regular file")
        if _is_mostly_holes(status):
            raise SpecError(
                f"`{path}` has {status.st_size} bytes, nearly all of them holes: it is not read"
            )
        self.size = status.st_size

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`. Raises `IntegrityError` where the file ends."""
        try:
            data = os.pread(self._fd, stop - start, start)
            while len(data) < stop - start:
                more = os.pread(self._fd, stop - start - len(data), start + len(data))
                if not more:
                    raise IntegrityError(f"`{self.path}` ended at byte {start + len(data)}")
                data += more
        except OSError as problem:
            raise read_error(self.path, problem) from problem
        return data

    def key(self) -> FileKey:
        """What changes when the file does: device, inode, size, mtime and ctime in ns."""
        status = os.fstat(self._fd)
        return (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def fileno(self) -> int:
        """The file descriptor, for calls that share the file's blocks; it stays this object's."""
        return self._fd

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


def _opened(path: Path) -> int:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a device or a pipe may do something
        raise SpecError(f"`{path}` is not a regular file")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
