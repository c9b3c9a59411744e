"""The entries below an open folder, without following links and to a limited depth."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from skillpm.errors import SpecError
from skillpm.files.errors import TooLargeError, read_error
from skillpm.files.folder import Folder
from skillpm.files.hashing import HashingReader
from skillpm.files.names import check_plain_name
from skillpm.spec.digests import Digest

DEEPEST = 32
"""The largest number of nested folders that skillpm writes or reads."""


def entries(folder: Folder, above: str = "", *, deepest: int = DEEPEST) -> Iterator[str]:
    """The relative paths of all entries below `folder` that are not folders, depth first.

    Folders at the depth `deepest` are listed like files and are not entered. The names of each
    folder are sorted. `above` is a prefix of every path.
    """
    for name, status in folder.statuses():
        if stat.S_ISDIR(status.st_mode) and deepest > 1:
            with folder.subfolder(name) as below:
                yield from entries(below, f"{above}{name}/", deepest=deepest - 1)
        else:
            yield f"{above}{name}"


@contextmanager
def place_below(folder: Folder, path: str) -> Iterator[tuple[Folder, str]]:
    """Resolve an untrusted relative path to an open folder and the name of an entry in it.

    Raises `SpecError` for a path with `..` or other names that are not plain, or with more than
    `DEEPEST` folders, and `StateError` if a folder is a link.
    """
    *steps, name = [check_plain_name(step, f"each part of {path[:80]!r}") for step in
                    path.split("/")]  # fmt: skip
    if len(steps) > DEEPEST:
        raise SpecError(f"{path[:80]!r} should have at most {DEEPEST} folders, has {len(steps)}")
    with ExitStack() as stack:
        for step in steps:
            folder = stack.enter_context(folder.subfolder(step))
        yield folder, name


def hash_below(folder: Folder, path: str, *, limit: int) -> tuple[Digest, int]:
    """The digest and the size of a regular file of at most `limit` bytes below the folder.

    Reads the file once. Raises the errors of `Folder.read` and of `place_below`.
    """
    full_path = folder.path / path
    with place_below(folder, path) as (place, name), place.reading(name) as fd:
        size = os.fstat(fd).st_size
        if size <= limit:
            with open(fd, "rb", closefd=False) as file:
                reader = HashingReader(file, lambda problem: read_error(full_path, problem))
                for _ in reader.chunks(limit):
                    pass
            size = max(size, reader.size)
    if size > limit:
        raise TooLargeError(full_path, size=size, limit=limit)
    return reader.digest, size
