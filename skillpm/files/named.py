"""Files that the user named on the command line: links are followed, size and type are checked."""

import os
from itertools import islice
from pathlib import Path

from skillpm.files.errors import check_regular, read_error
from skillpm.files.folder import READ_LIMIT, Folder
from skillpm.files.shown import shown
from skillpm.spec.nearest import most_similar

_LISTED = 1000
"""Entries of a folder that are compared with a missing name."""


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~user` replaced; as it is for a user that does not exist.

    A name may come from a stranger, and `Path.expanduser` raises `RuntimeError` for such a user.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - see above


def read_named_file(path: Path, *, limit: int = READ_LIMIT) -> bytes:
    """Read a file that the user named. Links are followed, because the user chose the path.

    Raises `MissingFileError`, `DeniedError`, `TooLargeError`, and `WrongKindError` for a pipe or a
    device, which could block or never end, and for a folder.
    """
    try:
        status = path.stat()
    except OSError as problem:
        raise read_error(path, problem) from problem
    check_regular(status.st_mode, path)
    place = Path(os.path.realpath(path))
    with Folder.open(place.parent) as folder:
        return folder.read(place.name, limit=limit)


def missing_path_hint(path: Path, *, otherwise: str) -> str:
    """A hint for a missing path: a similar name in its folder, a missing folder, or `otherwise`.

    A similar name has the same suffix.
    """
    try:
        entries = list(islice(path.parent.iterdir(), _LISTED))
    except FileNotFoundError:
        return f"there is no folder `{path.parent}` either"
    except OSError:
        return otherwise
    names = [entry.name for entry in entries if entry.suffix == path.suffix]
    similar = most_similar(path.name, names)
    if similar is None:
        return otherwise
    meant = path.with_name(similar)
    return f"did you mean `{shown(meant) if meant.is_absolute() else meant}`?"
