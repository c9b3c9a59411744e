"""How a command reaches registries: opened when they are first asked, and closed with it."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.errors import RegistryError
from skillpm.files.folder import Folder

if TYPE_CHECKING:
    from skillpm.index.ports import Index
    from skillpm.spec.location import RegistryLocation


def tidy_registry(own: Path, location: "RegistryLocation") -> None:
    """Remove what killed commands left in a registry's folder.

    Asked of every command that writes, so nothing is imported where there is nothing to do.

    A project may name any folder as its registry: only the home's `own`, and one that holds a
    catalogue, is tidied. Raises `StateError` and `MissingFileError`: then there is nothing to do.
    """
    folder = None if location.folder is None else Path(location.folder)
    if folder is None:
        return
    with Folder.open(folder) as registry:
        catalogue = registry.status("registry.db")
        if folder != own and (catalogue is None or not stat.S_ISREG(catalogue.st_mode)):
            return
        with registry.subfolder("tmp") as aside:
            waiting = aside.names()
    if waiting:
        from skillpm.index.open import tidy_index

        tidy_index(folder)


def connector(
    closing: Callable[[Callable[[], object]], object], place: Path, *, offline: bool
) -> "Callable[[RegistryLocation, bool], Index]":
    """What opens a registry, once for each way of opening it, and never the network offline."""
    opened: dict[tuple[RegistryLocation, bool], Index] = {}

    def connect(location: "RegistryLocation", create: bool) -> "Index":  # noqa: FBT001 - one switch, named by its type
        from skillpm.index.empty import EmptyIndex, is_uninitialized
        from skillpm.index.open import open_index

        folder = None if location.folder is None else Path(location.folder)
        if folder is None and offline:
            raise RegistryError(f"`{location}` is not asked: `--offline` forbids the network")
        if folder == place / "registry" and not create and is_uninitialized(folder):
            return EmptyIndex()
        key = (location, create)
        if key not in opened:
            opened[key] = open_index(location, create=create)
            closing(opened[key].close)
        return opened[key]

    return connect
