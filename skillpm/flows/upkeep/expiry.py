"""Cache folders: their sizes, and the removal of their old entries."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from math import inf
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.files.access import open_below
from skillpm.files.folder import Folder

CACHE_DAYS: Mapping[str, float] = {
    "leaves": 90.0,
    "surveys": 7.0,
    "fisher": 7.0,
    "layers": 7.0,
    "measures": 90.0,
    "layouts": 90.0,
    "registries": 30.0,
    "states": 90.0,
}
"""The caches of the home: folders below `cache`, each with the days that an entry is kept."""
CACHE_BYTES = 64 << 30
"""The most bytes that a command leaves in a cache beside its own entry."""
_DAY = 86_400.0
_DEEPEST = 32
"""The deepest nesting of folders that is read. skillpm creates at most three levels."""


def size_of(home: Path, *names: str) -> int:
    """The bytes of all files in a folder of the home; 0 if it does not exist. Follows no link."""
    with suppress(SkillpmError), open_below(home, *names) as folder:
        return _size(folder)
    return 0


def _size(folder: Folder, depth: int = 0) -> int:
    total = 0
    for name in folder.names():
        with suppress(SkillpmError):
            status = folder.status(name)
            if status is not None and stat.S_ISDIR(status.st_mode) and depth < _DEEPEST:
                with folder.subfolder(name) as below:
                    total += _size(below, depth + 1)
            elif status is not None:
                total += status.st_size
    return total


def age_out(home: Path, *names: str, before: float, now: float = inf, dry_run: bool) -> int:
    """Remove the entries of a folder that were last modified before a time; return their bytes.

    Entries dated more than a day after `now` are removed too: they would never get old, and every
    entry can be computed again.
    """
    freed = 0
    with suppress(SkillpmError), open_below(home, *names) as folder:
        for name in folder.names():
            status = folder.status(name)
            if status is None or before <= status.st_mtime <= now + _DAY:
                continue
            freed += size_of(folder.path, name) if stat.S_ISDIR(status.st_mode) else status.st_size
            if not dry_run:
                folder.remove_tree(name)
    return freed


def sweep_cache(home: Path, name: str, now: datetime, *, keep: str) -> None:
    """Remove the old entries of a cache, then the oldest while they exceed `CACHE_BYTES`.

    The entry `keep` is used by the caller; its age is that of its last use, so it becomes new.
    """
    with suppress(SkillpmError, OSError), open_below(home, "cache", name) as folder:
        with suppress(FileNotFoundError):
            os.utime(keep, dir_fd=folder.fd, follow_symlinks=False)
        before = now.timestamp() - CACHE_DAYS[name] * _DAY
        age_out(home, "cache", name, before=before, dry_run=False)
        total = 0
        for entry, _ in sorted(folder.statuses(), key=lambda pair: -pair[1].st_mtime):
            total += 0 if entry == keep else size_of(folder.path, entry)
            if total > CACHE_BYTES:
                folder.remove_tree(entry)
