"""Whether other users can change a file. Such a file is not trusted (law 5, ADR 20).

The check reads owner and mode of the path and of every folder above it. It does not read access
control lists: if a list lets a user write, the group bits of the mode show that.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skillpm.files.access import is_shared

ROOT = 0
_WHOLE_MAP = ("0", "0", "4294967295")


@dataclass(frozen=True, slots=True)
class Exposure:
    """A path that another user can write, and the reason as a clause."""

    path: Path
    reason: str
    is_foreign: bool = False
    """Whether another user owns the path. That user can change the mode at any time."""

    def __str__(self) -> str:
        """The exposure as warnings print it."""
        return f"`{self.path}` {self.reason}"


def exposure(path: Path, *, shared: bool = False) -> Exposure | None:
    """The first reason why another user can write `path` or replace it; None if there is none.

    `path` is a file, a folder (its entries are not checked) or an unused name. Root is trusted.
    With `shared`, so is the group of a folder that is shared by its set-group-ID bit. Costs one
    `lstat` for each component of the path, before and after links are resolved.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - the path with its links
    real = Path(os.path.realpath(absolute))
    for place in dict.fromkeys((real, absolute)):
        for part in (place, *place.parents):
            problem = _examine(part, is_parent=part != place, shared=shared)
            if problem is not None:
                return problem
    return None


def exposures(paths: Iterable[Path], *, shared: bool = False) -> list[Exposure]:
    """The exposures of these paths without duplicates; see `exposure`."""
    places = (exposure(path, shared=shared) for path in paths)
    return list(dict.fromkeys(place for place in places if place is not None))


def is_owner_only(path: Path) -> bool:
    """Whether only this user and root can write or replace `path`."""
    return exposure(path) is None


def foreign_owner(path: Path) -> Exposure | None:
    """The exposure of a path that neither this user nor root owns, without following links.

    None for a path that does not exist, and for one that others may only write.
    """
    found = _examine(path, is_parent=False, shared=True)
    return found if found is not None and found.is_foreign else None


def _examine(path: Path, *, is_parent: bool, shared: bool) -> Exposure | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None  # The folder above decides which users can create it.
    except OSError as problem:
        return Exposure(path, f"cannot be examined ({problem.strerror})", is_foreign=True)
    if status.st_uid not in _trusted(is_parent=is_parent):
        return Exposure(path, f"belongs to {_user(status.st_uid)}", is_foreign=True)
    if stat.S_ISLNK(status.st_mode) or (is_parent and status.st_mode & stat.S_ISVTX):
        # The mode of a link has no meaning. In a folder with the sticky bit, only the owner of an
        # entry can rename it.
        return None
    writers = _writers(status, shared=shared)
    return Exposure(path, f"is writable by {writers}") if writers else None


def _writers(status: os.stat_result, *, shared: bool) -> str | None:
    """The users besides the owner that can write, by the mode; None if there are none."""
    if status.st_mode & stat.S_IWOTH:
        return "every user of this machine"
    is_intended = shared and stat.S_ISDIR(status.st_mode) and is_shared(status.st_mode)
    if status.st_mode & stat.S_IWGRP and not is_intended and not _is_own_group(status.st_gid):
        return f"the group {_group(status.st_gid)}"
    return None


def _trusted(*, is_parent: bool) -> frozenset[int]:
    own = frozenset({ROOT, os.geteuid()})
    # In a user namespace, folders of users outside the namespace show the overflow user as owner.
    return own | _unmapped() if is_parent else own


@cache
def _unmapped() -> frozenset[int]:
    """The user ID that stands for all users outside this user namespace; empty if there is none."""
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
        if [tuple(line.split()) for line in lines] == [_WHOLE_MAP]:
            return frozenset()
        return frozenset({int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))})
    except (OSError, ValueError):
        return frozenset()


@cache
def _is_own_group(gid: int) -> bool:
    """Whether this user is the only member of a group, which has the user's name.

    False for root, because on some systems root's group contains the administrators.
    """
    if os.geteuid() == ROOT:
        return False
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    )


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with the ID {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"with the ID {gid}"
