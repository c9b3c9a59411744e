"""The folder as the operating system sees it: its lock, its errors, and flushing it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from registry.errors import (
    RegistryBusyError,
    RegistryFullError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)
from skillpm.errors import SkillpmError

LOCK = "registry.lock"
TMP = "tmp"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def read_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` of a body that reads the registry in `folder` into our own."""
    try:
        yield
    except OSError as problem:
        raise _unreachable(folder, problem) from problem


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` of a body that writes the registry in `folder` into our own."""
    try:
        yield
    except OSError as problem:
        raise _unwritable(folder, problem) from problem


def _unreachable(folder: Path, problem: OSError) -> SkillpmError:
    return RegistryUnreachableError(folder, problem.strerror or str(problem))


def _unwritable(folder: Path, problem: OSError) -> SkillpmError:
    if problem.errno in _FULL:
        return RegistryFullError(folder)
    if problem.errno in _DENIED:
        return RegistryReadOnlyError(folder)
    return _unreachable(folder, problem)


@contextmanager
def locked(folder: Path, patience: float) -> Iterator[None]:
    """Hold the registry's one writer lock; the system frees it when its holder dies.

    Waits `patience` seconds for another holder, then raises `RegistryBusyError` naming it.
    """
    path = folder / LOCK
    lock = FileLock(path)
    with write_errors(folder):
        try:
            lock.acquire(timeout=patience)
        except Timeout as problem:
            raise RegistryBusyError(folder, holder=_holder(path)) from problem
    try:
        with write_errors(folder):
            path.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    # Older versions of filelock empty the file while they wait, so the number may be gone.
    number = path.read_text()
    return f"process {number}" if number.isdigit() else "another process"


def flush(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
