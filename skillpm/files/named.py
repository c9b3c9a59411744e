"""Files that a person named on the command line: any link, but only regular files of some size."""

import os
import stat
from pathlib import Path

from skillpm.files.errors import FILE, WrongKindError, kind_of, read_error
from skillpm.files.folder import READ_LIMIT, Folder


def read_named_file(path: Path, *, limit: int = READ_LIMIT) -> bytes:
    """The content of a file that a person named; links are followed, for they chose it.

    Raises `MissingFileError`, `DeniedError`, `TooLargeError`, and `WrongKindError` for a pipe, a
    device or a folder: it would block, or never end.
    """
    try:
        status = path.stat()
    except OSError as problem:
        raise read_error(path, problem) from problem
    if not stat.S_ISREG(status.st_mode):
        raise WrongKindError(path, expected=FILE, found=kind_of(status.st_mode))
    place = Path(os.path.realpath(path))
    with Folder.open(place.parent) as folder:
        return folder.read(place.name, limit=limit)
