"""Opens a registry as an index. Only this module imports `skillpm_registry`."""

from pathlib import Path

from skillpm.errors import RegistryError
from skillpm.index.protocol import Index
from skillpm.spec.location import RegistryLocation
from skillpm_registry.service import open_registry, tidy_registry


def open_index(location: RegistryLocation, *, create: bool) -> Index:
    """Open a registry. With `create`, a missing embedded registry is created.

    Raises `RegistryError` if the registry cannot be opened.
    """
    if location.folder is None:
        raise RegistryError(
            f"registry `{location}` cannot be reached: this version of skillpm supports only "
            "embedded registries",
            hint="use a folder as registry: `--registry ./registry`",
        )
    return open_registry(Path(location.folder).expanduser().absolute(), create=create)


def make_registry(folder: Path, *, shared: bool) -> None:
    """Create an embedded registry in a missing or empty folder. `shared` is for the whole group."""
    open_registry(folder, create=True, shared=shared).close()


def tidy_index(folder: Path) -> None:
    """Remove temporary files that killed commands left in an embedded registry."""
    tidy_registry(folder)
