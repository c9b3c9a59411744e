"""What lies below an open folder: every entry itself, no link followed, to a bounded depth."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from skillpm.errors import SpecError
from skillpm.files.errors import TooLargeError, read_error
from skillpm.files.folder import Folder
from skillpm.files.names import check_plain_name

DEEPEST = 32
"""Folders within each other; no folder that skillpm writes is deeper."""
_BLOCK = 1 << 20


def entries(folder: Folder, above: str = "", *, deepest: int = DEEPEST) -> Iterator[str]:
    """Each entry below that is no folder, by its path from the folder, sorted by folder.

    A folder that lies deeper than `deepest` is an entry itself: it is not looked into.
    """
    for name, status in folder.statuses():
        if stat.S_ISDIR(status.st_mode) and deepest > 1:
            with folder.subfolder(name) as below:
                yield from entries(below, f"{above}{name}/", deepest=deepest - 1)
        else:
            yield f"{above}{name}"


@contextmanager
def place_below(folder: Folder, path: str) -> Iterator[tuple[Folder, str]]:
    """The folder and the name that a record's relative path leads to, by plain names alone.

    Raises `SpecError` for a path that leads elsewhere or deeper than `DEEPEST`, and `StateError`
    where a step is a link.
    """
    *steps, name = [check_plain_name(step, f"each part of {path[:80]!r}") for step in
                    path.split("/")]  # fmt: skip
    if len(steps) > DEEPEST:
        raise SpecError(
            f"{path[:80]!r} should have at most {DEEPEST} folders, has {len(steps)}: it is not used"
        )
    with ExitStack() as stack:
        for step in steps:
            folder = stack.enter_context(folder.subfolder(step))
        yield folder, name


def hash_below(folder: Folder, path: str, *, limit: int) -> tuple[str, int]:
    """The SHA-256 in hex of a regular file below the folder, and its size.

    Costs one read. Raises as `Folder.read` does, and `SpecError` as `place_below` does.
    """
    hasher, size = hashlib.sha256(), 0
    with place_below(folder, path) as (place, name), place.reading(name) as fd:
        whole = os.fstat(fd).st_size
        try:
            while whole <= limit and size <= limit and (block := os.read(fd, _BLOCK)):
                hasher.update(block)
                size += len(block)
        except OSError as problem:
            raise read_error(folder.path / path, problem) from problem
    if max(whole, size) > limit:
        raise TooLargeError(folder.path / path, size=max(whole, size), limit=limit)
    return hasher.hexdigest(), size
