"""Where a registry URL becomes an index: the one door to `registry`."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from registry.service import open_registry, tidy_registry
from skillpm.errors import RegistryError, UsageError
from skillpm.index.ports import Index


def folder_of(url: str) -> Path | None:
    """The folder that a URL of an embedded registry names, None for other schemes.

    Raises `UsageError` where the URL is none.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"`{url}` names the host `{parts.netloc}`; expected `file:///path`")
        return Path(unquote(parts.path))
    return None if "://" in url else Path(url).expanduser()


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
