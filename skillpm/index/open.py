"""Opens a registry as an index. Only this package imports `skillpm_registry`.

Each kind of registry is imported by the function that opens it: a registry over HTTP loads no
database, and a folder loads no HTTP library.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.errors import RegistryError
from skillpm.files.named import expanded
from skillpm.index.protocol import Account, Index, no_account
from skillpm.spec.location import RegistryKind, RegistryLocation

if TYPE_CHECKING:
    from skillpm.index.remote.open import RemoteSettings


def open_index(
    location: RegistryLocation, *, create: bool, settings: "RemoteSettings | None" = None
) -> Index:
    """Open a registry. With `create`, a missing embedded registry is created.

    `settings` are for registries over HTTP. Raises `RegistryError` if the registry cannot be
    opened.
    """
    if location.folder is not None:
        from skillpm_registry.service import open_registry

        return open_registry(expanded(location.folder).absolute(), create=create)
    check_served(location)
    if settings is None:
        raise RegistryError(f"registry `{location}` is not a folder")
    from skillpm.index.remote.open import open_remote

    return open_remote(location, settings)


def check_served(location: RegistryLocation) -> None:
    """Raise `RegistryError` unless a location is an HTTP URL."""
    if location.kind is not RegistryKind.HTTP:
        raise RegistryError(
            f"registry `{location}` cannot be reached: this version of skillpm supports only "
            "folders and `http(s)://` URLs",
            hint="for example: `--registry ./registry`, `--registry https://skills.example.org`",
        )


def open_account(location: RegistryLocation, settings: "RemoteSettings") -> Account:
    """The user's account at a registry over HTTP. Raises `UsageError` for a folder."""
    if location.folder is not None:
        no_account(location)
    check_served(location)
    from skillpm.index.remote.account import RemoteAccount

    return RemoteAccount(location, settings)


def make_registry(folder: Path, *, shared: bool) -> None:
    """Create an embedded registry in a missing or empty folder. `shared` is for the whole group."""
    from skillpm_registry.service import open_registry

    open_registry(folder, create=True, shared=shared).close()


def is_on_network(folder: Path) -> bool:
    """Whether an embedded registry is on a file system that other machines write too."""
    from skillpm_registry.db.disk import is_network_folder

    return is_network_folder(folder)


def tidy_index(folder: Path) -> None:
    """Remove temporary files that killed commands left in an embedded registry."""
    from skillpm_registry.service import tidy_registry

    tidy_registry(folder)
