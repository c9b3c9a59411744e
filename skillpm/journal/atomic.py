"""Files that are either the old ones or the new ones, whatever happens in between."""

import os
from contextlib import suppress
from pathlib import Path

from skillpm.errors import StateError


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


def remove_strays(folder: Path) -> None:
    """Remove what a killed `write_atomic` left in `folder`. Call it under the lock."""
    for stray in folder.glob(".*.tmp"):
        name, _, pid = stray.name.removesuffix(".tmp").rpartition(".")
        if name and pid.isdigit():
            with suppress(OSError):
                stray.unlink()
