"""The versions of installed libraries, by their metadata."""

from importlib.metadata import PackageNotFoundError, version


def installed(library: str) -> str | None:
    """The version of a library, without importing it; None if it is absent."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None
