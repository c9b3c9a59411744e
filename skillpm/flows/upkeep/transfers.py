"""The folders of transfers in the home, which `gc` removes only if the user asks for it.

They hold answers that may have cost money, and trained weights. A folder is as old as its last use.
"""

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.files.access import HomeFolder, open_below
from skillpm.flows.upkeep.expiry import size_of
from skillpm.journal.lock import hold_lock
from skillpm.spec.transfer_sources import FOLDER


def unused_transfers(home: Path, before: float) -> dict[str, int]:
    """The folders of transfers that were last used before a time, with their bytes."""
    found: dict[str, int] = {}
    with suppress(SkillpmError), open_below(home, FOLDER) as parent:
        for name, status in parent.statuses():
            if stat.S_ISDIR(status.st_mode) and status.st_mtime < before:
                found[name] = size_of(home, FOLDER, name)
    return found


def remove_transfers(home: Path, before: float, note: Callable[[str], None]) -> int:
    """Remove the folders of unused transfers; return their bytes. One that is in use is kept."""
    freed = 0
    for name, size in unused_transfers(home, before).items():
        try:
            with open_below(home, FOLDER) as parent:
                _remove(parent, name)
            freed += size
        except SkillpmError as problem:
            note(f"the transfer `{name}` is kept: {problem.message}")
    return freed


def _remove(parent: HomeFolder, name: str) -> None:
    """Remove a folder under its lock. Raises `StateError` if a command uses it."""
    with (
        parent.subfolder(name) as folder,
        hold_lock(folder, "gc", timeout=0, say=lambda _note: None, what="it"),
    ):
        parent.remove_tree(name)
