"""Emptying a folder tree of any depth with two file descriptors, without following links."""

import os
import stat

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty_folder(fd: int) -> None:
    """Remove all entries of an open folder, with their content.

    A nested folder is moved up to this folder before it is emptied. Hence neither recursion nor
    more than two file descriptors are needed at any depth. Takes time linear in the number of
    entries. Raises `OSError`.
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
    """Remove the files of a folder and move its folders to `top`. Returns their new names."""
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
