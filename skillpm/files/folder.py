"""A folder by its handle: everything in it is reached by a plain name, and no link is followed.

A path is looked up anew at each use, and each part of it may have become a link since. A handle
stays the folder that was opened. So whoever prepared the folder decides over nothing outside it
(law 5); what moves or replaces the folder meanwhile changes nothing either.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from skillpm.files.errors import (
    FILE,
    FOLDER,
    MissingFileError,
    TooLargeError,
    WrongKindError,
    kind_of,
    read_error,
    write_error,
)
from skillpm.files.names import LONGEST
from skillpm.files.removal import empty_folder

READ_LIMIT = 64_000_000
"""Bytes of a document: no state file of skillpm is larger."""
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20


class Folder:
    """An open folder. `path` serves messages only; every operation goes by the handle.

    Close it, or use it in a `with` statement.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """The folder at a path that a person or the system named: links in it are followed.

        Raises `MissingFileError`, `DeniedError`, or `WrongKindError` where it is no folder.
        """
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            return cls(path, os.open(path, _OPEN_FOLDER))
        except (FileExistsError, NotADirectoryError) as problem:
            raise _no_folder(path, None) from problem
        except OSError as problem:
            raise (write_error if create else read_error)(path, problem) from problem

    def subfolder(self, name: str, *, create: bool = False, mode: int = 0o777) -> Self:
        """A folder in this one. Raises as `open` does, for a link in its place too."""
        path = self.path / _step(name)
        try:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=self.fd)
            return type(self)(path, os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=self.fd))
        except OSError as problem:
            status = self.status(name)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                raise _no_folder(path, status) from problem
            raise (write_error if create else read_error)(path, problem) from problem

    def close(self) -> None:
        """Let go of the handle; may be called again."""
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
        """The entry of this name itself, a link as a link; None where there is none."""
        try:
            return os.stat(_step(name), dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise read_error(self.path / name, problem) from problem

    def has(self, name: str) -> bool:
        """Whether there is anything of this name, were it a broken link."""
        return self.status(name) is not None

    def names(self) -> list[str]:
        """Every name in the folder, sorted."""
        try:
            return sorted(os.listdir(self.fd))  # noqa: PTH208 - a handle is no path
        except OSError as problem:
            raise read_error(self.path, problem) from problem

    def statuses(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every entry with its status, a link as a link; what goes meanwhile is left out."""
        for name in self.names():
            status = self.status(name)
            if status is not None:
                yield name, status

    def find(self, name: str, *, limit: int = READ_LIMIT) -> bytes | None:
        """As `read`; None where there is nothing of this name."""
        try:
            return self.read(name, limit=limit)
        except MissingFileError:
            return None

    def read(self, name: str, *, limit: int = READ_LIMIT) -> bytes:
        """A whole file of at most `limit` bytes.

        Raises `MissingFileError`, `DeniedError`, `TooLargeError`, and `WrongKindError` for all that
        is no regular file: links are not followed, pipes and devices are not opened.
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
        """A regular file, open for reading while the block runs. Raises as `read` does."""
        path = self.path / name
        self._check_regular(self.status(name), path)
        try:
            fd = os.open(name, _OPEN_FILE, dir_fd=self.fd)
        except OSError as problem:
            self._check_regular(self.status(name), path)  # a link that was put there just now
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
        if not stat.S_ISREG(status.st_mode):
            raise WrongKindError(path, expected=FILE, found=kind_of(status.st_mode))

    def write(self, name: str, data: bytes, *, mode: int = 0o666) -> None:
        """Replace a file by `data` in one rename, on disk when this returns.

        A link in its place is replaced, and what it points to stays as it is. Where the disk is
        full or the folder cannot be written, the file stays as it was. Raises `StateError`.
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
        """Write a file that is not there yet; False where something of this name is.

        Raises `StateError` where it cannot be written.
        """
        path = self.path / _step(name)
        staged = staged_name(name)
        try:
            self._stage(staged, data, mode)
            try:
                return self.link(staged, name)  # with its content, or not at all
            finally:
                os.unlink(staged, dir_fd=self.fd)
                os.fsync(self.fd)
        except OSError as problem:
            raise write_error(path, problem) from problem

    def _stage(self, staged: str, data: bytes, mode: int) -> None:
        with suppress(FileNotFoundError):
            os.unlink(staged, dir_fd=self.fd)  # of an earlier process of this number, or planted
        fd = os.open(staged, _CREATE, mode, dir_fd=self.fd)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def link(self, old: str, new: str) -> bool:
        """Give a file a second name; False where something of that name is."""
        try:
            os.link(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as problem:
            raise write_error(self.path / new, problem) from problem
        return True

    def rename(self, old: str, new: str) -> None:
        """Give an entry another name in this folder; a file or an empty folder there goes."""
        try:
            os.rename(_step(old), _step(new), src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as problem:
            raise write_error(self.path / new, problem) from problem

    def remove(self, name: str) -> bool:
        """Remove a file, or a link itself; False where there was none. Never a folder."""
        try:
            os.unlink(_step(name), dir_fd=self.fd)
        except FileNotFoundError:
            return False
        except OSError as problem:
            raise write_error(self.path / name, problem) from problem
        return True

    def remove_tree(self, name: str) -> None:
        """Remove whatever has this name, with all below it; no link is followed.

        Costs one step an entry; any depth. Raises `StateError` where something has to stay.
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
        """Make renames within the folder last."""
        try:
            os.fsync(self.fd)
        except OSError as problem:
            raise write_error(self.path, problem) from problem


def staged_name(name: str) -> str:
    """The name under which this process writes a file before it takes its place."""
    mark = f".{os.getpid()}.tmp"
    return f".{name[: LONGEST - len(mark) - 1]}{mark}"


def _step(name: str) -> str:
    """The name, where it is one step below a folder. A programming error otherwise."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not one step below a folder")
    return name


def _no_folder(path: Path, status: os.stat_result | None) -> WrongKindError:
    if status is None:
        nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
        with suppress(OSError):
            status = nearest.stat()
    found = "something else" if status is None else kind_of(status.st_mode)
    return WrongKindError(path, expected=FOLDER, found=found)
