"""Where a registry URL becomes an index: the one door to `registry`."""

from pathlib import Path

from registry.service import open_registry, tidy_registry
from skillpm.errors import RegistryError
from skillpm.index.location import folder_of
from skillpm.index.ports import Index


def open_index(url: str, *, create: bool) -> Index:
    """The index of a registry; with `create`, an embedded one is made where there is none.

    Raises `RegistryError` where it cannot be reached.
    """
    folder = folder_of(url)
    if folder is None:
        raise RegistryError(
            f"`{url}` cannot be reached: this skillpm speaks to embedded registries only",
            hint="name a folder: `--registry ./registry`",
        )
    return open_registry(folder.absolute(), create=create)


def tidy_index(folder: Path) -> None:
    """Remove what killed commands left aside in an embedded registry."""
    tidy_registry(folder)
