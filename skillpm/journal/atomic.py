"""Atomic replacement of files, and removal of temporary files that killed commands left."""

import os
import signal
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import NotFoundError, SkillpmError
from skillpm.files.errors import UnwritableFileError
from skillpm.files.folder import Folder
from skillpm.journal.owner import is_alive


def write_atomic(path: Path, data: bytes, *, private: bool = False) -> None:
    """Replace the file at `path` with `data` by one rename. The data is on disk on return.

    For paths that the user names. A link at `path` is replaced, not followed. With `private`, an
    existing file keeps its permissions, and a new one is only for its owner. Raises `StateError` if
    the disk is full or the folder is not writable; `path` is then unchanged.
    """
    try:
        folder = Folder.open(path.parent)
    except NotFoundError as problem:
        raise UnwritableFileError(path, "its folder is missing") from problem
    with folder:
        mode = kept_mode(folder, path.name, new=0o600) if private else 0o666
        folder.write(path.name, data, mode=mode)


def kept_mode(folder: Folder, name: str, *, new: int = 0o666) -> int:
    """The permissions for a file that is replaced: those that it has, or `new` for a new file.

    A file that its owner has made private may hold a password.
    """
    status = folder.status(name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return new
    return stat.S_IMODE(status.st_mode) & 0o777


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM while the block runs, to complete a change that cannot be undone.

    Outside the main thread this does nothing, because only the main thread handles signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def sync_file(path: Path) -> None:
    """Flush the content of a file to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Flush renames within a folder to disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """Flush a folder to disk, with all files and folders below."""
    for parent, _folders, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(parent) / name)
        sync_folder(Path(parent))


def publish_folder(staged: Path, target: Path) -> None:
    """Rename a complete folder to its final name; it is on disk before, and the name afterwards."""
    sync_tree(staged)
    staged.rename(target)
    sync_folder(target.parent)


def sweep_strays(
    folder: Folder, ours: Collection[str] = (), *, suffixes: tuple[str, ...] = ("",)
) -> None:
    """Remove temporary files that killed writers left in `folder`.

    Removes all temporary files for the names `ours`; the caller must hold the lock for these files.
    For names with one of `suffixes`, removes only those whose writer is dead. Other files are kept,
    because the folder may contain other programs' files. Errors of removal are ignored.
    """
    for stray in folder.names():
        name, _, pid = stray.removesuffix(".tmp").rpartition(".")
        if not (stray.endswith(".tmp") and name[:1] == "." and name[1:] and pid.isdecimal()):
            continue
        if name[1:] in ours or (name.endswith(suffixes) and is_leftover(int(pid))):
            with suppress(SkillpmError):
                folder.remove(stray)


def is_leftover(pid: int) -> bool:
    """Whether temporary files of a process are left over: it is dead, or has our own id."""
    return pid == os.getpid() or not is_alive(pid)
