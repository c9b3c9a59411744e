"""The folder as the operating system sees it: its lock, its errors, and the room on its disk."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.files.access import RegistryFolder
from skillpm.files.errors import (
    DeniedError,
    UnreadableFileError,
    UnwritableFileError,
    WrongKindError,
)
from skillpm.files.locking import open_lock_file
from skillpm_registry.errors import (
    RegistryBusyError,
    RegistryFullError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)

LOCK = "registry.lock"
TMP = "tmp"
ROOM = 1 << 17
"""Bytes that must be free before SQLite maps its index of the log: a page of it that the disk
cannot hold kills the process."""
_POLL = 0.05
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REFUSALS = (OSError, DeniedError, UnreadableFileError, UnwritableFileError, WrongKindError)


@contextmanager
def read_errors(folder: Path) -> Iterator[None]:
    """Turn what the system refuses a body that reads the registry in `folder` into our own."""
    try:
        yield
    except _REFUSALS as problem:
        raise _unreachable(folder, _cause(problem)) from problem


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """Turn what the system refuses a body that writes the registry in `folder` into our own."""
    try:
        yield
    except _REFUSALS as problem:
        raise _unwritable(folder, _cause(problem)) from problem


def _cause(problem: BaseException) -> OSError:
    """The system's own error, which the room of files keeps as the cause of its."""
    cause = problem if isinstance(problem, OSError) else problem.__cause__
    refused = isinstance(cause, OSError) and not isinstance(problem, WrongKindError)
    return cause if refused and isinstance(cause, OSError) else OSError(str(problem))


def _unreachable(folder: Path, problem: OSError) -> SkillpmError:
    return RegistryUnreachableError(folder, problem.strerror or str(problem))


def _unwritable(folder: Path, problem: OSError) -> SkillpmError:
    if problem.errno in _FULL:
        return RegistryFullError(folder)
    if problem.errno in _DENIED:
        return RegistryReadOnlyError(folder)
    return _unreachable(folder, problem)


def check_room(folder: Path) -> None:
    """Raise `RegistryFullError` where the disk has too little room for a transaction."""
    with read_errors(folder):
        disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < ROOM:
        raise RegistryFullError(folder)


@contextmanager
def locked(folder: Path, patience: float) -> Iterator[None]:
    """Hold the registry's one writer lock; the system frees it when its holder dies.

    Waits `patience` seconds for another holder, then raises `RegistryBusyError` naming it.
    """
    with write_errors(folder), RegistryFolder.open(folder) as opened:
        lock = open_lock_file(opened, LOCK, mode=opened.access().file)
    try:
        with write_errors(folder):
            _acquire(folder, lock, time.monotonic() + patience)
        with suppress(OSError):  # the number serves messages only
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def _acquire(folder: Path, lock: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            if time.monotonic() >= deadline:
                raise RegistryBusyError(folder, holder=_holder(lock)) from problem
            time.sleep(_POLL)
        else:
            return


def _holder(lock: int) -> str:
    number = os.pread(lock, 20, 0).decode("ascii", "replace")
    return f"process {number}" if number.isascii() and number.isdigit() else "another process"
