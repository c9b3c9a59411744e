"""The version of skillpm, and those of installed libraries."""

__version__ = "0.2.0"


def installed(library: str) -> str | None:
    """The version of a library by its metadata, without importing it; None if it is absent."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return None
