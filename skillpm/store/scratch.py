"""Temporary folders in the home. Folders of killed commands are removed by the next command."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import StateError
from skillpm.files.access import HomeFolder
from skillpm.files.errors import MissingFileError
from skillpm.files.folder import Folder
from skillpm.files.ownership import is_owner_only
from skillpm.journal.atomic import is_leftover
from skillpm.journal.owner import is_alive

_TMP = "tmp"
_BESIDE = "beside"
_STAGED = re.compile(r"\.[^/]+\.[0-9]+\.(tmp|skillpm-new)")
"""Names of temporary files and folders beside their target: hidden, with the process ID."""
_NOTE_LIMIT = 1 << 14


@contextmanager
def scratch(home: Path, purpose: str) -> Iterator[Path]:
    """Create a temporary folder in `home`, and remove it when the block ends."""
    name = f"{purpose}-{os.getpid()}-{os.urandom(8).hex()}"
    try:
        with HomeFolder.make(home) as top, top.subfolder(_TMP, create=True) as parent:
            sweep_scratch(home)
            parent.subfolder(name, create=True).close()
    except StateError as problem:
        problem.hint = "set SKILLPM_HOME to a folder in which you can write"
        raise
    try:
        yield home / _TMP / name
    finally:
        with suppress(StateError), HomeFolder.open(home) as top, top.subfolder(_TMP) as parent:
            parent.remove_tree(name)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Translate every `OSError` in the block to a `StateError` about `folder`."""
    try:
        yield
    except OSError as problem:
        raise StateError(
            f"`{folder}` cannot be written: {problem.strerror}",
            hint="free disk space, or set SKILLPM_HOME to a folder on another disk",
        ) from problem


@contextmanager
def staged_beside(home: Path, staged: Path) -> Iterator[Path]:
    """Record in the home that a temporary file or folder is written outside the home.

    If the command is killed, the next command removes `staged`. Otherwise the caller removes or
    renames it.
    """
    with scratch(home, _BESIDE) as folder:
        with disk_errors(folder):
            (folder / _BESIDE).write_bytes(os.fsencode(staged.absolute()))
        yield staged


def sweep_scratch(home: Path, *, begins: bool = False) -> None:
    """Remove temporary folders of killed processes, and the files that they staged elsewhere.

    Pass `begins` at the start of a command: then folders with this process's ID were left by an
    earlier process with the same ID, and are removed too.
    """
    left = is_leftover if begins else _is_dead
    with suppress(MissingFileError), HomeFolder.open(home) as top, top.subfolder(_TMP) as parent:
        for name in parent.names():
            parts = name.split("-")
            if len(parts) > 1 and parts[1].isdigit() and left(int(parts[1])):
                _remove_left(home, parent, name)


def _remove_left(home: Path, parent: HomeFolder, name: str) -> None:
    with suppress(StateError, MissingFileError, OSError):
        if is_owner_only(home):  # Else another user may have written the record.
            with parent.subfolder(name) as stray:
                _remove_staged(stray)
    with suppress(StateError):
        parent.remove_tree(name)


def _is_dead(pid: int) -> bool:
    return not is_alive(pid)


def _remove_staged(stray: Folder) -> None:
    """Remove the file or folder that a record names.

    The name must be that of a temporary file, and this user must own it. Raises `MissingFileError`
    and `StateError`.
    """
    staged = Path(os.fsdecode(stray.read(_BESIDE, limit=_NOTE_LIMIT)))
    if not staged.is_absolute() or not _STAGED.fullmatch(staged.name):
        return  # The record is damaged.
    with Folder.open(staged.parent) as beside:
        status = beside.status(staged.name)
        if status is not None and status.st_uid == os.geteuid():
            beside.remove_tree(staged.name)
