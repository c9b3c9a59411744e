"""Files that are either the old ones or the new ones, whatever happens in between."""

import os
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import NotFoundError, SkillpmError
from skillpm.files.errors import UnwritableFileError
from skillpm.files.folder import Folder
from skillpm.journal.owner import is_alive


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path`, which a person named, by `data` in one rename, on disk when this returns.

    A link at `path` is replaced, not followed. Raises `StateError` where the disk is full or the
    folder cannot be written; `path` is then as it was.
    """
    try:
        folder = Folder.open(path.parent)
    except NotFoundError as problem:
        raise UnwritableFileError(path, "its folder is missing") from problem
    with folder:
        folder.write(path.name, data)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ctrl-C and SIGTERM are passed over: for moments in which a change is as good as done."""
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
    """Make the content of `path` last."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make renames within `folder` last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_strays(folder: Path, ours: Collection[str] = ()) -> None:
    """As `sweep_strays`, for the folder at a path; nothing where there is none."""
    with suppress(SkillpmError), Folder.open(folder) as opened:
        sweep_strays(opened, ours)


def sweep_strays(
    folder: Folder, ours: Collection[str] = (), *, suffixes: tuple[str, ...] = ("",)
) -> None:
    """Remove what a killed writer left in `folder`, so far as it can be removed.

    Whatever is staged for the files `ours`: call it under the lock that they are written under. For
    a file whose name ends in one of `suffixes`, where its writer has died: a living one may still
    be at it. Others stay: the folder may not be skillpm's alone.
    """
    for stray in folder.names():
        name, _, pid = stray.removesuffix(".tmp").rpartition(".")
        if not (stray.endswith(".tmp") and name[:1] == "." and name[1:] and pid.isdecimal()):
            continue
        if name[1:] in ours or (name.endswith(suffixes) and is_leftover(int(pid))):
            with suppress(SkillpmError):
                folder.remove(stray)


def is_leftover(pid: int) -> bool:
    """Whether what a process began is left over: it died, or its number is now our own."""
    return pid == os.getpid() or not is_alive(pid)
