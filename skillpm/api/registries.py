"""Opening registries: each is opened when it is first used, and closed with the session."""

import stat
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.files.folder import Folder

if TYPE_CHECKING:
    from skillpm.index.protocol import Account, Index
    from skillpm.index.remote.open import RemoteSettings
    from skillpm.spec.digests import Digest
    from skillpm.spec.location import RegistryLocation
    from skillpm.spec.names import SkillName


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


def account_at(location: "RegistryLocation", settings: "RemoteSettings") -> "Account":
    """The user's account at a registry over HTTP."""
    from skillpm.index.open import open_account

    return open_account(location, settings)


def known_quarantines(
    home: Path, location: "RegistryLocation", skills: "Collection[SkillName]"
) -> "Mapping[Digest, str]":
    """The quarantined releases that a registry over HTTP listed when it was last asked."""
    if location.folder is not None:
        return {}
    from skillpm.index.remote.known import known_quarantines as known

    return known(home, location, skills)


def connector(
    closing: Callable[[Callable[[], object]], object],
    place: Path,
    settings: "Callable[[], RemoteSettings]",
) -> "Callable[[RegistryLocation, bool], Index]":
    """A function that opens the index of a registry, or returns the one that is already open.

    `place` is the home; `settings` are asked for if a registry is not a folder. Several threads
    may call the function.
    """
    opened: dict[tuple[RegistryLocation, bool], Index] = {}
    guard = threading.Lock()

    def connect(location: "RegistryLocation", create: bool) -> "Index":  # noqa: FBT001 - one switch, named by its type
        from skillpm.index.empty import EmptyIndex, is_uninitialized
        from skillpm.index.open import open_index

        folder = None if location.folder is None else Path(location.folder)
        if folder == place / "registry" and not create and is_uninitialized(folder):
            return EmptyIndex()
        key = (location, create and folder is not None)
        with guard:
            if key not in opened:
                given = None if folder else settings()
                opened[key] = open_index(location, create=create, settings=given)
                closing(opened[key].close)
            return opened[key]

    return connect
