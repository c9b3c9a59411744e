"""Files that are either the old ones or the new ones, whatever happens in between."""

import os
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import StateError
from skillpm.journal.owner import is_alive


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one rename, on disk when this returns.

    Raises `StateError` where the disk is full or the folder cannot be written; `path` is then as
    it was.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
        sync_folder(path.parent)
    except OSError as problem:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise StateError(f"`{path}` cannot be written: {problem.strerror}") from problem


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM are passed over: for moments in which a change is as good as done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    for one in before:
        signal.signal(one, signal.SIG_IGN)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)


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
    """Remove what a killed `write_atomic` left in `folder`.

    Whatever is staged for the files `ours`: call it under the lock that they are written under. For
    any other file, where its writer has died: a living one may still be at it.
    """
    for stray in folder.glob(".*.tmp"):
        name, _, pid = stray.name.removesuffix(".tmp").rpartition(".")
        if name and pid.isdigit() and (name[1:] in ours or was_left(int(pid))):
            with suppress(OSError):
                stray.unlink()


def was_left(pid: int) -> bool:
    """Whether what a process began is left over: it died, or its number is now our own."""
    return pid == os.getpid() or not is_alive(pid)
