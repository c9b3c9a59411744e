"""Where a registry URL becomes an index: the one door to `registry`."""

from pathlib import Path

from skillpm.errors import RegistryError
from skillpm.index.ports import Index
from skillpm.spec.location import RegistryLocation
from skillpm_registry.service import open_registry, tidy_registry


def open_index(location: RegistryLocation, *, create: bool) -> Index:
    """The index of a registry; with `create`, an embedded one is made where there is none.

    Raises `RegistryError` where it cannot be reached.
    """
    if location.folder is None:
        raise RegistryError(
            f"`{location}` cannot be reached: this skillpm speaks to embedded registries only",
            hint="name a folder: `--registry ./registry`",
        )
    return open_registry(Path(location.folder).expanduser().absolute(), create=create)


def make_registry(folder: Path, *, shared: bool) -> None:
    """Make an embedded registry in an absent or empty folder: for its owner, or for its group."""
    open_registry(folder, create=True, shared=shared).close()


def tidy_index(folder: Path) -> None:
    """Remove what killed commands left aside in an embedded registry."""
    tidy_registry(folder)
