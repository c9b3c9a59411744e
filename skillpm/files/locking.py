"""Lock files: opened without following links, and waited for.

The kernel holds the lock of a file until its process ends; the content of the file is never read.
"""

import os
import time
from collections.abc import Callable

from skillpm.errors import SkillpmError
from skillpm.files.errors import check_regular
from skillpm.files.folder import Folder

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = _OPEN | os.O_CREAT | os.O_EXCL
_PAUSE = 0.05
"""Seconds between two attempts."""
GRACE = 1.0
"""Additional seconds to wait for a lock whose holder is unknown: it may be starting or ending."""
UNKNOWN_HOLDER = "another skillpm command"


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


def wait_for_lock(
    attempt: Callable[[], bool],
    holder: Callable[[], str | None],
    *,
    timeout: float,
    say: Callable[[str], None],
    busy: Callable[[str, float], SkillpmError],
) -> None:
    """Repeat `attempt` until it takes a lock.

    `holder` describes the process that holds the lock, or returns None if it is unknown. `say` gets
    the holder once, if the lock is not free at the second attempt; an unknown holder only after
    `GRACE` seconds. After `timeout` seconds, or `GRACE` seconds later if the holder is unknown,
    raises the error that `busy` makes of the holder and of the seconds waited.
    """
    started, announced = time.monotonic(), False
    while not attempt():
        waited = time.monotonic() - started
        known = holder()  # asked once, because the holder may change in between
        limit = timeout if known is not None else timeout + GRACE
        if waited >= limit:
            raise busy(known or UNKNOWN_HOLDER, waited)
        is_due = waited >= (min(_PAUSE, timeout) if known is not None else GRACE)
        if is_due and not announced:
            say(known or UNKNOWN_HOLDER)
            announced = True
        time.sleep(min(_PAUSE, max(0.0, limit - waited)))
