"""Folders whose entries may go at any time: their sizes, and the entries that are old."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.files.access import open_below


def size_of(home: Path, *names: str) -> int:
    """The bytes of all files in a folder of the home; 0 where there is none. Follows no link."""
    with suppress(SkillpmError, OSError), open_below(home, *names) as folder:
        return _size(folder.fd, ".")
    return 0


def _size(fd: int, name: str) -> int:
    total = 0
    for _, _, files, handle in os.fwalk(name, dir_fd=fd, follow_symlinks=False):
        for file in files:
            with suppress(OSError):
                total += os.stat(file, dir_fd=handle, follow_symlinks=False).st_size
    return total


def age_out(home: Path, *names: str, before: float, dry_run: bool) -> int:
    """Remove the entries of a folder that changed last before a time; return their bytes."""
    freed = 0
    with suppress(SkillpmError, OSError), open_below(home, *names) as folder:
        for name in folder.names():
            status = folder.status(name)
            if status is None or status.st_mtime >= before:
                continue
            is_folder = stat.S_ISDIR(status.st_mode)
            freed += _size(folder.fd, name) if is_folder else status.st_size
            if not dry_run:
                folder.remove_tree(name)
    return freed
