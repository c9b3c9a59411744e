"""Folders whose entries may go at any time: their sizes, and the entries that are old."""

import os
import shutil
from contextlib import suppress
from pathlib import Path


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; 0 where there is nothing."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += Path(folder, name).stat().st_size
    if path.is_file():
        with suppress(OSError):
            total += path.stat().st_size
    return total


def age_out(folder: Path, before: float, *, dry_run: bool) -> int:
    """Remove the entries that changed last before a time; return their bytes."""
    freed = 0
    for entry in folder.glob("*"):
        with suppress(OSError):
            if entry.stat().st_mtime >= before:
                continue
            freed += size_of(entry)
            if dry_run:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
    return freed
