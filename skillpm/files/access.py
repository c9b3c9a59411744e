"""The permissions of files and folders that skillpm creates in a home or a registry (ADR 20).

Files in a home are readable and writable by their owner only. Files in a registry are readable by
the users that may read the registry's folder. A folder that is writable by its group and has the
set-group-ID bit is shared: files created in it are readable and writable by the group too.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Self

from skillpm.files.errors import write_error
from skillpm.files.folder import Folder

_SHARED = stat.S_ISGID | stat.S_IWGRP
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Access:
    """The permission bits of new folders and new files."""

    folder: int
    file: int


PRIVATE = Access(0o700, 0o600)
SHARED = Access(0o2770, 0o660)


def is_shared(mode: int) -> bool:
    """Whether a folder of this mode is shared with its group."""
    return mode & _SHARED == _SHARED


def is_shared_folder(path: Path) -> bool:
    """Whether the folder at a path is shared with its group; False if it is missing."""
    with suppress(OSError):
        return is_shared(path.stat().st_mode)
    return False


class HomeFolder(Folder):
    """A folder of the home. New entries are private, or shared with the group if the folder is.

    The umask of the process does not change the permissions of new entries.
    """

    def access(self) -> Access:
        """The permissions of new entries of this folder."""
        return SHARED if is_shared(os.fstat(self.fd).st_mode) else PRIVATE

    @classmethod
    def make(cls, path: Path, access: Access | None = None) -> Self:
        """Open the folder at a path that the user gave; create it if it is missing.

        A new folder gets `access`. Missing parents are created with the narrowest permissions:
        private, or shared if the folder that they are created in is shared. Raises the errors of
        `open`.
        """
        missing = [place for place in (path, *path.parents) if not os.path.lexists(place)]
        folder = cls.open(missing[-1].parent if missing else path)
        for place in reversed(missing):
            with folder:
                mode = SHARED if is_shared(os.fstat(folder.fd).st_mode) else PRIVATE
                chosen = access if access and place == path else mode
                folder = folder.subfolder(place.name, create=True, mode=chosen.folder)
        return folder

    def allow(self, mode: int) -> None:
        """Set the permissions of the folder itself. Raises `StateError`."""
        try:
            os.fchmod(self.fd, mode)
        except OSError as problem:
            raise write_error(self.path, problem) from problem

    def subfolder(self, name: str, *, create: bool = False, mode: int = 0) -> Self:
        """Open a folder in this one. A new folder gets the permissions of `access`."""
        is_new = create and not self.has(name)
        below = super().subfolder(name, create=create, mode=PRIVATE.folder)
        if is_new:
            below.allow(mode or self.access().folder)
        return below

    def below(self, *names: str, create: bool = False) -> Self:
        """Open a folder several levels below. Raises the errors of `subfolder`."""
        folder = self.subfolder(names[0], create=create)
        for name in names[1:]:
            with folder:
                folder = folder.subfolder(name, create=create)
        return folder

    def new_file(self, name: str) -> BinaryIO:
        """Create a file and open it for writing. Raises `OSError`, also if the name exists."""
        fd = os.open(name, _NEW, 0o600, dir_fd=self.fd)
        os.fchmod(fd, self.access().file)
        return os.fdopen(fd, "wb")

    def check_regular(self, name: str, *, missing: bool = False) -> None:
        """Raise `WrongKindError` unless a name is a regular file.

        Raises `MissingFileError` for a missing file, unless `missing` permits that.
        """
        status = self.status(name)
        if status is not None or not missing:
            self._check_regular(status, self.path / name)

    def open_file(self, name: str) -> BufferedReader:
        """Open a regular file for reading. Raises the errors of `read`."""
        with self.reading(name) as fd:
            return os.fdopen(os.dup(fd), "rb")

    def move(self, name: str, into: Folder, new: str) -> None:
        """Rename a file into another folder and replace a file there. Raises `OSError`."""
        os.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=into.fd)

    def _stage(self, staged: str, data: bytes, mode: int) -> None:
        super()._stage(staged, data, mode & 0o600)
        os.chmod(staged, self.access().file, dir_fd=self.fd)


class RegistryFolder(HomeFolder):
    """A folder of a registry. Users that may read the folder may read new entries."""

    def access(self) -> Access:
        """The permissions of new entries of this folder."""
        mode = stat.S_IMODE(os.fstat(self.fd).st_mode)
        if is_shared(mode):
            return Access(mode & 0o2775, mode & 0o664 | 0o660)
        return Access(mode & 0o755 | 0o700, mode & 0o644 | 0o600)


def open_below(home: Path, *names: str, create: bool = False) -> HomeFolder:
    """Open a folder below a home without following links; with `create`, create it if missing.

    Raises `MissingFileError` and `StateError`.
    """
    with HomeFolder.make(home) if create else HomeFolder.open(home) as top:
        return top.below(*names, create=create)
