"""Who may read and write what skillpm makes: one rule for home and registries (ADR 20).

What is made in a home is for its owner alone. What is made in a registry may be read by whoever may
read the registry's folder. Where such a folder is writable by its group and bears the set-group-id
bit, it is shared on purpose: then all that is made in it is for the group too.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from skillpm.files.errors import write_error
from skillpm.files.folder import Folder

_SHARED = stat.S_ISGID | stat.S_IWGRP
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Access:
    """The modes of new folders and new files."""

    folder: int
    file: int


PRIVATE = Access(0o700, 0o600)
SHARED = Access(0o2770, 0o660)


def is_shared(mode: int) -> bool:
    """Whether a folder of this mode is meant for its group."""
    return mode & _SHARED == _SHARED


def is_shared_folder(path: Path) -> bool:
    """As `is_shared`, of the folder at a path; False where there is none."""
    with suppress(OSError):
        return is_shared(path.stat().st_mode)
    return False


class HomeFolder(Folder):
    """A folder of the home: what is made in it is for its owner, or for the group that shares it.

    The process's umask neither widens nor narrows that.
    """

    def access(self) -> Access:
        """The modes of what is made in this folder."""
        return SHARED if is_shared(os.fstat(self.fd).st_mode) else PRIVATE

    @classmethod
    def make(cls, path: Path, access: Access | None = None) -> Self:
        """The folder at a path that a person named, made where there is none; see `open`.

        What is made gets `access`, folders above it too few rights rather than too many: they are
        for their owner, or for the group that shares the folder where they are made.
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
        """Give the folder itself a mode."""
        try:
            os.fchmod(self.fd, mode)
        except OSError as problem:
            raise write_error(self.path, problem) from problem

    def subfolder(self, name: str, *, create: bool = False, mode: int = 0) -> Self:
        """A folder in this one, made with this one's access."""
        made = create and not self.has(name)
        below = super().subfolder(name, create=create, mode=PRIVATE.folder)
        if made:
            below.allow(mode or self.access().folder)
        return below

    def below(self, *names: str, create: bool = False) -> Self:
        """A folder some steps down. Raises as `subfolder` does."""
        folder = self.subfolder(names[0], create=create)
        for name in names[1:]:
            with folder:
                folder = folder.subfolder(name, create=create)
        return folder

    def new_file(self, name: str) -> BinaryIO:
        """A file that is not there yet, open for writing. Raises `OSError`."""
        fd = os.open(name, _NEW, 0o600, dir_fd=self.fd)
        os.fchmod(fd, self.access().file)
        return os.fdopen(fd, "wb")

    def check_regular(self, name: str, *, missing: bool = False) -> None:
        """Raise `WrongKindError` unless a name is that of a regular file, or `missing`."""
        status = self.status(name)
        if status is not None or not missing:
            self._check_regular(status, self.path / name)

    def open_file(self, name: str) -> BinaryIO:
        """A regular file as a stream. Raises as `read` does."""
        with self.reading(name) as fd:
            return os.fdopen(os.dup(fd), "rb")

    def move(self, name: str, into: Folder, new: str) -> None:
        """Rename a file into another folder; what is there goes. Raises `OSError`."""
        os.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=into.fd)

    def _stage(self, staged: str, data: bytes, mode: int) -> None:
        super()._stage(staged, data, mode & 0o600)
        os.chmod(staged, self.access().file, dir_fd=self.fd)


class RegistryFolder(HomeFolder):
    """A folder of a registry: who may read the folder may read what is made in it."""

    def access(self) -> Access:
        """The modes of what is made in this folder."""
        mode = stat.S_IMODE(os.fstat(self.fd).st_mode)
        if is_shared(mode):
            return Access(mode & 0o2775, mode & 0o664 | 0o660)
        return Access(mode & 0o755 | 0o700, mode & 0o644 | 0o600)


def open_below(home: Path, *names: str, create: bool = False) -> HomeFolder:
    """A folder some steps below a home, no link followed on the way; with `create`, made.

    Raises `MissingFileError`, `StateError`.
    """
    with HomeFolder.make(home) if create else HomeFolder.open(home) as top:
        return top.below(*names, create=create)
