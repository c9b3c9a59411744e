"""Opening the file that a kernel's lock is taken on; nothing is ever written to it."""

import os
import stat

from skillpm.files.errors import FILE, WrongKindError, kind_of, write_error
from skillpm.files.folder import Folder

_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_lock_file(folder: Folder, name: str, *, mode: int = 0o666) -> int:
    """A handle on a lock file, which is made where it is missing; the caller closes it.

    Raises `WrongKindError` for all that is no regular file, and `StateError` where it cannot be
    opened for writing.
    """
    path = folder.path / name
    status = folder.status(name)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise WrongKindError(path, expected=FILE, found=kind_of(status.st_mode))
    try:
        fd = os.open(name, _LOCK, mode, dir_fd=folder.fd)
    except OSError as problem:
        raise write_error(path, problem) from problem
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise WrongKindError(path, expected=FILE, found=kind_of(found.st_mode))
    return fd
