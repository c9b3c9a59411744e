"""Opening lock files. The kernel holds the lock; the content of the file is never read."""

import os

from skillpm.files.errors import check_regular
from skillpm.files.folder import Folder

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = _OPEN | os.O_CREAT | os.O_EXCL


def open_lock_file(folder: Folder, name: str, *, mode: int | None = None) -> int:
    """Open a lock file, and create it if it is missing. The caller closes the file descriptor.

    A new file gets the permissions `mode`, by default 0o666 minus the umask. Raises
    `WrongKindError` if the name is not a regular file, and `OSError` if it cannot be opened for
    writing.
    """
    path = folder.path / name
    status = folder.status(name)
    if status is not None:
        check_regular(status.st_mode, path)
    try:
        fd = os.open(name, _CREATE, 0o666 if mode is None else 0o600, dir_fd=folder.fd)
        is_new = True
    except FileExistsError:
        fd = os.open(name, _OPEN, dir_fd=folder.fd)
        is_new = False
    try:
        check_regular(os.fstat(fd).st_mode, path)
        if is_new and mode is not None:
            os.fchmod(fd, mode)
    except BaseException:
        os.close(fd)
        raise
    return fd
