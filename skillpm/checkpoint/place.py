"""Putting an untouched file of the base into a graft: hard-linked on request, cloned, or copied.

Whatever is placed is hashed here: a copy while it is written, a clone or a link as it now is.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.model import Shard, open_shard
from skillpm.checkpoint.write import write_tensors
from skillpm.errors import IntegrityError
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import leaf_of_chunks

Advance = Callable[[int], None]

MODE = 0o644
_FICLONE = 0x40049409
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ANYONE_MAY_WRITE = stat.S_IWUSR | _OTHERS_MAY_WRITE
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Placement:
    """A file that was placed: its leaves; the bytes written, and those shared with the source.

    `linked`: the file is the source itself under a second name, so an edit of one edits both.
    """

    leaves: dict[str, Digest]
    written: int
    shared: int
    linked: bool = False


def place_shard(
    source: Shard, target: Path, *, link: bool, pool: ThreadPoolExecutor, advance: Advance
) -> Placement:
    """Give `target`, which must not exist, the content of a shard as cheaply as is safe.

    Returns the leaves of what now lies at `target`; comparing them is the caller's. A hard link is
    made only on request, and only of a file that its owner alone may write (law 1). Costs one read
    and SHA-256 of the file, a few chunks of memory for each thread. Raises `IntegrityError` where
    the source is exchanged meanwhile. Links and clones are the caller's to fsync.
    """
    size = source.file.size
    if link and _link(source.file, target):
        return Placement(_leaves_of_copy(source, target, pool, advance), 0, size, linked=True)
    if clone(source.file, target):
        return Placement(_leaves_of_copy(source, target, pool, advance), 0, size)
    by_name = {placed.spec.name: placed for placed in source.header.tensors}
    leaves = write_tensors(
        target,
        source.header_bytes(),
        source.header.tensors,
        lambda name: source.chunks(by_name[name]),
        pool=pool,
        advance=advance,
    )
    return Placement(leaves, size, 0)


def _leaves_of_copy(
    source: Shard, target: Path, pool: ThreadPoolExecutor, advance: Advance
) -> dict[str, Digest]:
    copy = open_shard(target)
    if copy.header_bytes() != source.header_bytes():
        raise IntegrityError(f"`{source.file.path}` was changed while it was placed in a graft")
    return hash_shard(copy, pool, advance)


def hash_shard(shard: Shard, pool: ThreadPoolExecutor, advance: Advance) -> dict[str, Digest]:
    """The leaf of every tensor of a file, hashed now by the threads of `pool`."""

    def leaf(number: int) -> Digest:
        placed = shard.header.tensors[number]
        digest = leaf_of_chunks(placed.spec, shard.chunks(placed))
        advance(placed.spec.nbytes)
        return digest

    names = [placed.spec.name for placed in shard.header.tensors]
    return dict(zip(names, pool.map(leaf, range(len(names))), strict=True))


def take(source: Path, target: Path) -> bool:
    """Give a file of ours a second name, for as long as its folder is being replaced.

    False where it is no plain file that this user alone may write, or the file system has no hard
    links: a file that anyone else has a name for is never taken (law 1).
    """
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or not _is_mine(status):
        return False
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in (*_NO_CLONE, errno.EPERM, errno.EMLINK):
            raise
        return False
    return True


def why_not_linked(source: Path) -> str | None:
    """Why a file would not be hard-linked, whatever the file system can; None where it would."""
    status = source.stat()
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"other users may write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def is_read_only(path: Path) -> bool:
    """Whether no user may write a file, its owner included."""
    return not path.stat().st_mode & _ANYONE_MAY_WRITE


def make_read_only(path: Path) -> None:
    """Take the write permission from a file of this user; all its hard links lose it with it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if mode & _ANYONE_MAY_WRITE:
            os.fchmod(fd, mode & ~_ANYONE_MAY_WRITE)
    finally:
        os.close(fd)


def _is_mine(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE


def _link(source: OpenFile, target: Path) -> bool:
    """Hard-link an open file. False where that is not safe, or the file system cannot."""
    with source.descriptor() as fd:
        status = os.fstat(fd)
    if not _is_mine(status):
        return False
    try:
        os.link(source.path.resolve(), target, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in _NO_LINK:
            raise
        return False
    if not os.path.samestat(status, target.lstat()):
        target.unlink()
        raise IntegrityError(f"`{source.path}` was exchanged while it was linked into a graft")
    return True


def clone(source: OpenFile, target: Path) -> bool:
    """Make `target` a copy that shares its blocks with the source; False where none can be made."""
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with source.descriptor() as origin:
            fcntl.ioctl(fd, _FICLONE, origin)
    except OSError as problem:
        with suppress(OSError):
            target.unlink()
        if problem.errno not in _NO_CLONE:
            raise
        return False
    finally:
        os.close(fd)
    return True
