"""An open folder, whose entries are accessed by plain names and without following links (law 5).

The operating system resolves a path again at every use, and an attacker can replace a part of the
path by a link in between. A file descriptor always refers to the folder that was opened. An
untrusted folder therefore cannot redirect a read or a write to a place outside it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from skillpm.files.errors import (
    FOLDER,
    MissingFileError,
    TooLargeError,
    WrongKindError,
    check_regular,
    kind_of,
    read_error,
    write_error,
)
from skillpm.files.names import LONGEST
from skillpm.files.removal import empty_folder

READ_LIMIT = 64_000_000
"""The default limit of `read`, in bytes. State files of skillpm are smaller."""
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20


class Folder:
    """An open folder. Operations use the file descriptor `fd`; `path` is for messages only.

    Close it, or use it in a `with` statement.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the folder at a trusted path; links in the path are followed.

        Raises `MissingFileError`, `DeniedError`, and `WrongKindError` if it is not a folder.
        """
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            return cls(path, os.open(path, _OPEN_FOLDER))
        except (FileExistsError, NotADirectoryError) as problem:
            raise _not_a_folder(path, None) from problem
        except OSError as problem:
            raise (write_error if create else read_error)(path, problem) from problem

    def subfolder(self, name: str, *, create: bool = False, mode: int = 0o777) -> Self:
        """Open a folder in this one; with `create`, create it if it is missing.

        Raises the errors of `open`, and `WrongKindError` for a link to a folder.
        """
        path = self.path / _step(name)
        try:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=self.fd)
            return type(self)(path, os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=self.fd))
        except OSError as problem:
            status = self.status(name)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                raise _not_a_folder(path, status) from problem
            raise (write_error if create else read_error)(path, problem) from problem

    def close(self) -> None:
        """Close the file descriptor. May be called more than once."""
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: object, _trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def status(self, name: str) -> os.stat_result | None:
        """The status of an entry, without following a link; None if there is no such entry."""
        try:
            return os.stat(_step(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise read_error(self.path / name, problem) from problem

    def leads_to(self, name: str, fd: int) -> bool:
        """Whether an entry is the open file `fd`, which may have been removed or replaced."""
        status = self.status(name)
        return status is not None and os.path.samestat(status, os.fstat(fd))

    def has(self, name: str) -> bool:
        """Whether an entry of this name exists. A broken link counts."""
        return self.status(name) is not None

    def names(self) -> list[str]:
        """The names of all entries, sorted."""
        try:
            return sorted(os.listdir(self.fd))  # noqa: PTH208 - pathlib takes no descriptor
        except OSError as problem:
            raise read_error(self.path, problem) from problem

    def statuses(self) -> Iterator[tuple[str, os.stat_result]]:
        """Each entry with its status, without following links; skips entries removed meanwhile."""
        for name in self.names():
            status = self.status(name)
            if status is not None:
                yield name, status

    def find(self, name: str, *, limit: int = READ_LIMIT) -> bytes | None:
        """Read a whole file; None if the name does not exist. Raises the errors of `read`."""
        try:
            return self.read(name, limit=limit)
        except MissingFileError:
            return None

    def read(self, name: str, *, limit: int = READ_LIMIT) -> bytes:
        """Read a whole file of at most `limit` bytes.

        Raises `MissingFileError`, `DeniedError`, `TooLargeError`, and `WrongKindError` if the name
        is not a regular file. Links are not followed; pipes and devices are not opened.
        """
        path = self.path / name
        with self.reading(name) as fd:
            size = os.fstat(fd).st_size
            if size > limit:
                raise TooLargeError(path, size=size, limit=limit)
            try:
                data = bytearray()
                while len(data) <= limit and (block := os.read(fd, _BLOCK)):
                    data += block
            except OSError as problem:
                raise read_error(path, problem) from problem
        if len(data) > limit:
            raise TooLargeError(path, size=len(data), limit=limit)
        return bytes(data)

    @contextmanager
    def reading(self, name: str) -> Iterator[int]:
        """Yield a file descriptor for reading a regular file. Raises the errors of `read`."""
        path = self.path / name
        self._check_regular(self.status(name), path)
        try:
            fd = os.open(name, _OPEN_FILE, dir_fd=self.fd)
        except OSError as problem:
            self._check_regular(self.status(name), path)  # May have been replaced by a link.
            raise read_error(path, problem) from problem
        try:
            self._check_regular(os.fstat(fd), path)
            yield fd
        finally:
            os.close(fd)

    @staticmethod
    def _check_regular(status: os.stat_result | None, path: Path) -> None:
        if status is None:
            raise MissingFileError(path)
        check_regular(status.st_mode, path)

    def write(self, name: str, data: bytes, *, mode: int = 0o666) -> None:
        """Write `data` to a file atomically (by a rename) and durably (by fsync).

        A link is replaced, and its target does not change. Raises `StateError` if writing fails;
        the file then keeps its old content.
        """
        path = self.path / _step(name)
        staged = staged_name(name)
        try:
            self._stage(staged, data, mode)
            os.rename(staged, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            os.fsync(self.fd)
        except OSError as problem:
            with suppress(OSError):
                os.unlink(staged, dir_fd=self.fd)
            raise write_error(path, problem) from problem

    def create(self, name: str, data: bytes, *, mode: int = 0o666) -> bool:
        """Write a new file atomically and durably. Returns False if the name exists already.

        Raises `StateError` if writing fails.
        """
        path = self.path / _step(name)
        staged = staged_name(name)
        try:
            self._stage(staged, data, mode)
            try:
                return self.link(staged, name)  # The name appears with the complete content.
            finally:
                os.unlink(staged, dir_fd=self.fd)
                os.fsync(self.fd)
        except OSError as problem:
            raise write_error(path, problem) from problem

    def _stage(self, staged: str, data: bytes, mode: int) -> None:
        with suppress(FileNotFoundError):
            os.unlink(staged, dir_fd=self.fd)  # Left by an earlier process with this number.
        fd = os.open(staged, _CREATE, mode, dir_fd=self.fd)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, old: str, new: str) -> bool:
        """Make a hard link. Returns False if the new name exists already."""
        try:
            os.link(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as problem:
            raise write_error(self.path / new, problem) from problem
        return True

    def rename(self, old: str, new: str) -> None:
        """Rename an entry within this folder; replaces a file or an empty folder."""
        try:
            os.rename(_step(old), _step(new), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as problem:
            raise write_error(self.path / new, problem) from problem

    def remove(self, name: str) -> bool:
        """Remove a file or a link, but never a folder. Returns False if the name is missing."""
        try:
            os.unlink(_step(name), dir_fd=self.fd)
        except FileNotFoundError:
            return False
        except OSError as problem:
            raise write_error(self.path / name, problem) from problem
        return True

    def remove_tree(self, name: str) -> None:
        """Remove a file, a link or a folder with its content, without following links.

        Works at any depth, in time linear in the number of entries. Raises `StateError` if an
        entry cannot be removed.
        """
        status = self.status(name)
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            self.remove(name)
            return
        try:
            with self.subfolder(name) as folder:
                empty_folder(folder.fd)
            os.rmdir(name, dir_fd=self.fd)
        except OSError as problem:
            raise write_error(self.path / name, problem) from problem

    def sync(self) -> None:
        """Make renames and removals within the folder durable. Raises `StateError`."""
        try:
            os.fsync(self.fd)
        except OSError as problem:
            raise write_error(self.path, problem) from problem


def staged_name(name: str) -> str:
    """The temporary name under which this process writes a file before the rename."""
    mark = f".{os.getpid()}.tmp"
    return f".{name[: LONGEST - len(mark) - 1]}{mark}"


def _step(name: str) -> str:
    """Return `name` if it is one path component. Raises `ValueError`, a bug in the caller."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a single path component")
    return name


def _not_a_folder(path: Path, status: os.stat_result | None) -> WrongKindError:
    if status is None:
        nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
        with suppress(OSError):
            status = nearest.stat()
    found = "something else" if status is None else kind_of(status.st_mode)
    return WrongKindError(path, expected=FOLDER, found=found)
