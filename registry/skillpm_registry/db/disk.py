"""The registry's folder on disk: its lock, errors of the operating system, and free space."""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

from skillpm.errors import SkillpmError
from skillpm.files.access import RegistryFolder
from skillpm.files.errors import (
    DeniedError,
    UnreadableFileError,
    UnwritableFileError,
    WrongKindError,
)
from skillpm.files.locking import open_lock_file, wait_for_lock
from skillpm_registry.errors import (
    RegistryBusyError,
    RegistryFullError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)

LOCK = "registry.lock"
TMP = "tmp"
ROOM = 1 << 17
"""Bytes that must be free before SQLite maps its WAL index into memory. If the disk has no room for
a mapped page, the kernel kills the process."""
_MOUNT_POINT = 4  # The position of the mount point in a line of mountinfo.
_ESCAPE = re.compile(r"\\([0-7]{3})")
_NETWORK = (
    "nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "lustre", "gpfs", "beegfs", "gfs2",
    "ocfs2", "fuse.sshfs", "fuse.gluster", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.juicefs",
)  # fmt: skip
"""How the types of file systems begin that several machines can mount at once."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_REFUSALS = (OSError, DeniedError, UnreadableFileError, UnwritableFileError, WrongKindError)


@contextmanager
def read_errors(folder: Path) -> Iterator[None]:
    """Translate errors of reading the registry in `folder` to `RegistryUnreachableError`."""
    try:
        yield
    except _REFUSALS as problem:
        raise _unreachable(folder, _cause(problem)) from problem


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """Translate errors of writing the registry in `folder` to errors about the registry."""
    try:
        yield
    except _REFUSALS as problem:
        raise _unwritable(folder, _cause(problem)) from problem


def _cause(problem: BaseException) -> OSError:
    """The error of the operating system, which is the cause of errors of `skillpm.files`."""
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
    """Raise `RegistryFullError` if the disk has too little free space for a transaction."""
    with read_errors(folder):
        disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < ROOM:
        raise RegistryFullError(folder)


def is_network_folder(folder: Path) -> bool:
    """Whether a folder is on a file system that other machines write too.

    SQLite's WAL mode needs memory that all its processes share, so the journal mode is DELETE
    there. Also false where the system does not list its mounts.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
        real = str(folder.resolve())
    except OSError:
        return False
    return file_system_of(real, mounts).startswith(_NETWORK)


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system of an absolute path, by the text of Linux's `mountinfo`."""
    kinds: dict[str, str] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > _MOUNT_POINT:
            point = _ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields[_MOUNT_POINT])
            kinds[point.rstrip("/")] = after.partition(" ")[0]
    while path and path not in kinds:
        path = path.rpartition("/")[0]
    return kinds.get(path, "")


@contextmanager
def locked(folder: Path, timeout: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the registry's writer lock. The kernel releases it when the process ends.

    A `shared` lock excludes only exclusive ones: its holders have files in `tmp`, which the holder
    of the exclusive lock may remove. Waits up to `timeout` seconds for another process, then raises
    `RegistryBusyError` that names it.
    """
    with write_errors(folder), RegistryFolder.open(folder) as opened:
        lock = open_lock_file(opened, LOCK, mode=opened.access().file)
    try:
        with write_errors(folder):
            wait_for_lock(
                lambda: _share(lock) if shared else lock_descriptor(lock, blocking=False),
                lambda: _holder(lock),
                timeout=timeout,
                say=lambda _holder: None,
                busy=lambda holder, _waited: RegistryBusyError(folder, holder=holder),
            )
        with suppress(OSError):  # The process ID is used in messages only.
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def _share(lock: int) -> bool:
    """Take a shared lock of an open file, if no process holds an exclusive one."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> str:
    number = os.pread(lock, 20, 0).decode("ascii", "replace")
    return f"process {number}" if number.isascii() and number.isdigit() else "another process"
