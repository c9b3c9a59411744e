"""Regular files by byte range; opened once, closed with the last reference."""

import os
import stat
from pathlib import Path

from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError

FileKey = tuple[int, int, int, int, int]


class OpenFile:
    """A regular file that is read by position, from any thread. It never maps memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as problem:
            raise NotFoundError(f"there is no file `{path}`") from problem
        except OSError as problem:
            raise StateError(f"`{path}` cannot be read: {problem.strerror}") from problem
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            self._fd = -1
            raise SpecError(f"`{path}` is not a regular file")
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
            raise StateError(f"`{self.path}` cannot be read: {problem.strerror}") from problem
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
