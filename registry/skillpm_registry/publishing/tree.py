"""The tree of static documents, which any web server can serve."""

from collections.abc import Iterator
from typing import Protocol


class StaticTree(Protocol):
    """Files by path, such as `index/acme/math.json`, in a folder or a bucket."""

    def put(self, path: str, data: bytes, *, immutable: bool = False) -> None:
        """Write a file atomically, and replace an earlier one."""
        ...

    def get(self, path: str) -> bytes | None:
        """Read a file. None if it is missing."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        ...

    def paths(self, prefix: str = "") -> Iterator[str]:
        """The paths of all files that begin with `prefix`."""
        ...
