"""Hostile entries that replace a file: links, pipes, huge files, endless folders."""

import os
import shutil
from pathlib import Path


def clear(place: Path) -> None:
    """Remove the entry at a path, and create the folders above it."""
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
    else:
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)


def link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "thesis.txt")


def link_to_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def broken_link(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "absent")


def pipe(place: Path, _outside: Path) -> None:
    os.mkfifo(place)


def folder(place: Path, _outside: Path) -> None:
    (place / "deeper").mkdir(parents=True)


def huge(place: Path, _outside: Path) -> None:
    """A sparse file of 1 TiB."""
    with place.open("wb") as file:
        file.truncate(1 << 40)


def deepen(fd: int, steps: int) -> None:
    """Create nested folders below an open one; closes its handle."""
    for _ in range(steps):
        os.mkdir("deeper", dir_fd=fd)
        below = os.open("deeper", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
