"""The tree of static documents, which any web server can serve."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Protocol

from skillpm.files.access import RegistryFolder
from skillpm.files.errors import MissingFileError
from skillpm_registry.db.disk import write_errors

_WRITES = tuple(Lock() for _ in range(64))
"""Threads of one process stage a file under the same name. Others are written at the same time."""


class StaticTree(Protocol):
    """Files by path, such as `index/acme/math.json`, in a folder or a bucket."""

    def put(self, path: str, data: bytes, *, immutable: bool = False) -> None:
        """Write a file atomically, and replace an earlier one."""
        ...

    def get(self, path: str) -> bytes | None:
        """Read a file. None if it is missing."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        ...

    def paths(self, prefix: str = "") -> Iterator[str]:
        """The paths of all files that begin with `prefix`, sorted."""
        ...


class FolderTree:
    """A `StaticTree` in a folder. Writing a file is atomic and durable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, path: str, data: bytes, *, immutable: bool = False) -> None:
        """Write a file. An immutable one that exists is kept."""
        *above, name = path.split("/")
        lock = _WRITES[hash(path) % len(_WRITES)]
        with lock, write_errors(self._folder), self._open(above, create=True) as folder:
            if not (immutable and folder.has(name)):
                folder.write(name, data)

    def get(self, path: str) -> bytes | None:
        """Read a file. None if it is missing."""
        *above, name = path.split("/")
        with (
            suppress(MissingFileError),
            write_errors(self._folder),
            self._open(above) as folder,
        ):
            return folder.read(name)
        return None

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        *above, name = path.split("/")
        with (
            suppress(MissingFileError),
            write_errors(self._folder),
            self._open(above) as folder,
        ):
            folder.remove(name)

    def paths(self, prefix: str = "") -> Iterator[str]:
        """The paths of all files that begin with `prefix`, sorted."""
        below = self._folder / prefix.rpartition("/")[0]
        found = (path for path in below.rglob("*") if path.is_file())
        names = sorted(str(path.relative_to(self._folder)) for path in found)
        return (name for name in names if name.startswith(prefix))

    def _open(self, above: list[str], *, create: bool = False) -> RegistryFolder:
        make = RegistryFolder.make if create else RegistryFolder.open
        top = make(self._folder)
        if not above:
            return top
        with top:
            return top.below(*above, create=create)
