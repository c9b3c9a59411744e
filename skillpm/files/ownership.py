"""Who may write a file: nothing is believed that someone else could have changed (law 5, ADR 20).

The system is asked, by owner and mode of the path and of every folder above it. Access lists need
no question of their own: where one lets somebody write, the group bits of the mode show it.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skillpm.errors import StateError
from skillpm.files.access import is_shared

ROOT = 0
_WHOLE_MAP = ("0", "0", "4294967295")


@dataclass(frozen=True, slots=True)
class Exposure:
    """A path that someone besides its owner may write, and the reason, as a clause."""

    path: Path
    reason: str
    is_foreign: bool = False
    """Whether its owner is another user: then its mode says little."""

    def __str__(self) -> str:
        """As warnings print it."""
        return f"`{self.path}` {self.reason}"


def exposure(path: Path, *, shared: bool = False) -> Exposure | None:
    """The nearest reason why someone else could change what lies at `path`; None without one.

    A file, a folder (but not what lies in it) or what is not there yet. Someone else is anyone but
    this user and root; with `shared`, also but the group of a folder that is shared on purpose, by
    its set-group-id bit. Costs one `lstat` for each part of the path, and of what links lead to.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are followed below, one by one
    real = Path(os.path.realpath(absolute))
    for place in dict.fromkeys((real, absolute)):
        for each in (place, *place.parents):
            problem = _examine(each, is_parent=each != place, shared=shared)
            if problem is not None:
                return problem
    return None


def exposures(paths: Iterable[Path], *, shared: bool = False) -> list[Exposure]:
    """Every exposed place among these paths, each once; see `exposure`."""
    places = (exposure(path, shared=shared) for path in paths)
    return list(dict.fromkeys(place for place in places if place is not None))


def is_owner_only(path: Path) -> bool:
    """Whether files are writable by their owner alone, `path` and all folders above it."""
    return exposure(path) is None


def check_owner_only(path: Path, purpose: str) -> None:
    """Raise `StateError` where `purpose` (a trust decision, say) would rest on an exposed path."""
    problem = exposure(path)
    if problem is not None:
        raise StateError(
            f"{purpose} cannot rest on `{path}`: {problem}",
            hint=f"`chmod go-w {problem.path}`, or set SKILLPM_HOME to a folder of your own",
        )


def _examine(path: Path, *, is_parent: bool, shared: bool) -> Exposure | None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None  # whoever may make it is found one folder further up
    except OSError as problem:
        return Exposure(path, f"cannot be examined ({problem.strerror})", is_foreign=True)
    if status.st_uid not in _trusted(is_parent=is_parent):
        return Exposure(path, f"belongs to {_user(status.st_uid)}", is_foreign=True)
    if stat.S_ISLNK(status.st_mode) or (is_parent and status.st_mode & stat.S_ISVTX):
        return None  # a link has no mode; where the sticky bit is set, only owners rename
    writers = _writers(status, shared=shared)
    return Exposure(path, f"may be written by {writers}") if writers else None


def _writers(status: os.stat_result, *, shared: bool) -> str | None:
    """Who besides the owner may write, by the mode; None if no one may."""
    if status.st_mode & stat.S_IWOTH:
        return "every user of this machine"
    on_purpose = shared and stat.S_ISDIR(status.st_mode) and is_shared(status.st_mode)
    if status.st_mode & stat.S_IWGRP and not on_purpose and not _is_own_group(status.st_gid):
        return f"the group {_group(status.st_gid)}"
    return None


def _trusted(*, is_parent: bool) -> frozenset[int]:
    own = frozenset({ROOT, os.geteuid()})
    # In a user namespace, folders of the machine above ours show an owner that does not exist here.
    return own | _unmapped() if is_parent else own


@cache
def _unmapped() -> frozenset[int]:
    """The number that stands for all users outside of this user namespace; empty outside of one."""
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
        if [tuple(line.split()) for line in lines] == [_WHOLE_MAP]:
            return frozenset()
        return frozenset({int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))})
    except (OSError, ValueError):
        return frozenset()


@cache
def _is_own_group(gid: int) -> bool:
    """Whether a group has this user alone, as where every user gets a group of the same name.

    Root's group is no such one: on some systems it holds the administrators.
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
        return f"the user of number {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"of number {gid}"
