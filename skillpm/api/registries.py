"""Opening registries: each is opened when it is first used, and closed with the session."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.errors import RegistryError
from skillpm.files.folder import Folder

if TYPE_CHECKING:
    from skillpm.index.protocol import Index
    from skillpm.spec.location import RegistryLocation


def tidy_registry(own: Path, location: "RegistryLocation") -> None:
    """Remove temporary files that killed commands left in a registry's folder.

    Every command that writes calls this, so registry code is imported only if there are such files.
    A project may name any folder as its registry. Only `own`, the registry in `SKILLPM_HOME`, and
    folders that contain a catalogue are tidied. Raises `StateError` or `MissingFileError` if there
    is no registry; the caller ignores both.
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
    """A function that opens the index of a registry, or returns the one that is already open.

    With `offline` it raises `RegistryError` for a registry that is not a folder.
    """
    opened: dict[tuple[RegistryLocation, bool], Index] = {}

    def connect(location: "RegistryLocation", create: bool) -> "Index":  # noqa: FBT001 - one switch, named by its type
        from skillpm.index.empty import EmptyIndex, is_uninitialized
        from skillpm.index.open import open_index

        folder = None if location.folder is None else Path(location.folder)
        if folder is None and offline:
            raise RegistryError(
                f"registry `{location}` needs the network, but `--offline` is set",
                hint="use a registry in a folder: `--registry ./registry`",
            )
        if folder == place / "registry" and not create and is_uninitialized(folder):
            return EmptyIndex()
        key = (location, create)
        if key not in opened:
            opened[key] = open_index(location, create=create)
            closing(opened[key].close)
        return opened[key]

    return connect
