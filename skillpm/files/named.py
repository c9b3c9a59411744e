"""Files that the user named on the command line: links are followed, size and type are checked."""

import os
from pathlib import Path

from skillpm.files.errors import check_regular, read_error
from skillpm.files.folder import READ_LIMIT, Folder


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
