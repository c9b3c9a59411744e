"""Place an unchanged file of the base in a graft: hard-link it on request, else clone or copy it.

Every placed file is hashed: a copy while it is written, a clone or a link after it is made.
"""

import errno
import fcntl
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.files import OpenFile
from skillpm.checkpoint.model import Shard, open_shard
from skillpm.checkpoint.write import write_tensors
from skillpm.errors import IntegrityError
from skillpm.parallel import Advance, batches, map_batches
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import leaf_of_chunks
from skillpm.spec.safetensors import Placed

MODE = 0o644
_FICLONE = 0x40049409
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ANYONE_MAY_WRITE = stat.S_IWUSR | _OTHERS_MAY_WRITE
_NO_CLONE = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Placement:
    """A placed file: its leaves, the bytes written, and the bytes shared with the source.

    If `linked`, the file is a hard link to the source, so an edit of one changes both.
    """

    leaves: dict[str, Digest]
    written: int
    shared: int
    linked: bool = False


def place_shard(
    source: Shard, target: Path, *, link: bool, pool: ThreadPoolExecutor, advance: Advance
) -> Placement:
    """Create `target`, which must not exist, with the content of a shard, as cheaply as is safe.

    Returns the leaves of `target`; the caller compares them. A hard link is made only on request,
    and only to a file that no other user can write (law 1). Costs one read and SHA-256 of the file,
    and a few chunks of memory per thread. Raises `IntegrityError` if the source is replaced in the
    meantime. The caller calls fsync for links and clones.
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
        raise IntegrityError(f"`{source.file.path}` was changed while the graft was written")
    return hash_shard(copy, pool, advance)


def hash_shard(shard: Shard, pool: ThreadPoolExecutor, advance: Advance) -> dict[str, Digest]:
    """Hash every tensor of a file with the threads of `pool`; return the leaves by name."""

    def leaf(placed: Placed) -> Digest:
        digest = leaf_of_chunks(placed.spec, shard.chunks(placed))
        advance(placed.spec.nbytes)
        return digest

    tensors = shard.header.tensors
    leaves = map_batches(pool, leaf, batches(tensors, lambda placed: placed.spec.nbytes))
    return {placed.spec.name: digest for placed, digest in zip(tensors, leaves, strict=True)}


def is_own_file(path: Path) -> bool:
    """Whether a regular file exists, has no other hard links, and only its user can write it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and _is_mine(status)


def link_own_file(source: Path, target: Path) -> bool:
    """Hard-link a file of the old graft into the new one that replaces it.

    Returns False, and does nothing, unless `is_own_file`, or if the file system has no hard links.
    """
    if not is_own_file(source):
        return False
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as problem:
        if problem.errno not in (*_NO_CLONE, errno.EPERM, errno.EMLINK):
            raise
        return False
    return True


def why_not_linked(source: Path) -> str | None:
    """The reason why a file must not be hard-linked; None if it may be."""
    status = source.stat()
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"other users can write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def is_read_only(path: Path) -> bool:
    """Whether a file has no write permission for any user."""
    return not path.stat().st_mode & _ANYONE_MAY_WRITE


def make_read_only(path: Path) -> None:
    """Remove all write permissions from a file, and so from all its hard links."""
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
    """Hard-link an open file. Returns False if that is not safe or not supported."""
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
        raise IntegrityError(f"`{source.path}` was replaced while the graft was written")
    return True


def clone(source: OpenFile, target: Path) -> bool:
    """Create `target` as a copy that shares disk blocks with the source.

    Returns False, and creates no file, if the file system cannot do that.
    """
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
