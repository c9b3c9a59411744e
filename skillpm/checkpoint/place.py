"""Putting a file that does not change into a graft: cloned, hard-linked on request, or copied."""

import errno
import fcntl
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

_FICLONE = 0x40049409
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Placement:
    """How many bytes were written, and how many are shared with the source."""

    written: int
    shared: int


def place(source: Path, target: Path, *, link: bool) -> Placement:
    """Give `target` the content of `source` as cheaply as is safe; `target` must not exist.

    A hard link is made only on request, and only where nobody but the owner may write the file
    (law 1). Never fsyncs: the caller does.
    """
    source = source.resolve()
    size = source.stat().st_size
    if link and _may_link(source):
        try:
            os.link(source, target)
        except OSError as problem:
            if problem.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
        else:
            return Placement(0, size)
    if _clone(source, target):
        return Placement(0, size)
    shutil.copyfile(source, target)
    return Placement(size, 0)


def take(source: Path, target: Path) -> bool:
    """Give a file of ours a second name, for as long as its folder is being replaced.

    False where it is no plain file of this user alone, or the file system has no hard links: a file
    that anyone else has a name for is never taken (law 1).
    """
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
        return False
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in (*_NO_CLONE, errno.EPERM, errno.EMLINK):
            raise
        return False
    return True


def _may_link(source: Path) -> bool:
    status = source.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE


def _clone(source: Path, target: Path) -> bool:
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError as problem:
            if problem.errno not in _NO_CLONE:
                raise
            target.unlink()
            return False
    return True
