"""Emptying a folder of any depth with a handful of handles, without following a link."""

import os
import stat

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty_folder(fd: int) -> None:
    """Remove all that the open folder holds.

    Folders below are moved up before they are emptied: a tree of any depth needs no recursion and
    no more than two handles. Costs one step an entry. Raises `OSError`.
    """
    waiting = os.listdir(fd)
    while waiting:
        name = waiting.pop()
        if not _is_folder(fd, name):
            os.unlink(name, dir_fd=fd)
            continue
        below = os.open(name, _ENTER, dir_fd=fd)
        try:
            waiting += _lift(below, fd)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=fd)


def _lift(below: int, top: int) -> list[str]:
    """Remove the files of one folder, and move its folders up; their new names."""
    lifted = []
    for name in os.listdir(below):
        if _is_folder(below, name):
            fresh = f".removed-{os.urandom(12).hex()}"
            os.rename(name, fresh, src_dir_fd=below, dst_dir_fd=top)
            lifted.append(fresh)
        else:
            os.unlink(name, dir_fd=below)
    return lifted


def _is_folder(fd: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
