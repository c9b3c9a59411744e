"""Find the project that a folder belongs to, as git finds a repository."""

import os
import shlex
from pathlib import Path

from skillpm.errors import StateError
from skillpm.files.ownership import foreign_owner

PROJECT_FILE = "skillpm.toml"
LOCK_FILE = "skillpm.lock"
STATE = ".skillpm"


class ForeignProjectError(StateError):
    """A project in a folder above that belongs to another user."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"`{folder}` has a project above the current folder, but {reason}: it is not used",
            hint=f"if you trust it: `-C {shlex.quote(str(folder))}`; to ignore it: `-C .`",
        )
        self.folder = folder


def project_above(folder: Path) -> Path | None:
    """The nearest folder with `skillpm.toml`, from `folder` upward on the same file system.

    Returns None if there is none. Costs two `stat` calls for each folder.
    """
    try:
        device = folder.stat().st_dev
        for place in (folder, *folder.parents):
            if place.stat().st_dev != device:
                return None
            if os.path.lexists(place / PROJECT_FILE):
                return place
    except OSError:
        return None
    return None


def find_project(folder: Path) -> Path | None:
    """The project of a folder: the folder itself, or the nearest one above; None if there is none.

    A project above the folder must belong to this user or root, as git requires of a repository:
    anyone may write a skillpm.toml into `/tmp`. Raises `ForeignProjectError` for another user's.
    """
    if any(os.path.lexists(folder / name) for name in (PROJECT_FILE, STATE)):
        return folder
    found = project_above(folder)
    if found is None:
        return None
    for path in (found, *(found / name for name in (PROJECT_FILE, LOCK_FILE, STATE))):
        exposure = foreign_owner(path)
        if exposure is not None:
            raise ForeignProjectError(found, str(exposure))
    return found
