"""A folder for what is being made; what a killed command left there goes with the next one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import StateError
from skillpm.journal.atomic import was_left
from skillpm.journal.owner import is_alive

_BESIDE = "beside"
_STAGED = (".tmp", ".skillpm-new")


@contextmanager
def scratch(home: Path, purpose: str) -> Iterator[Path]:
    """A new folder under `home`, removed at the end, whatever happens."""
    parent = home / "tmp"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep_scratch(home)
        folder = Path(tempfile.mkdtemp(prefix=f"{purpose}-{os.getpid()}-", dir=parent))
    except OSError as problem:
        raise StateError(
            f"`{parent}` cannot be written: {problem.strerror}",
            hint="set SKILLPM_HOME to a folder that can",
        ) from problem
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a `StateError` that says so."""
    try:
        yield
    except OSError as problem:
        raise StateError(
            f"`{folder}` cannot be written: {problem.strerror}",
            hint="make room, or set SKILLPM_HOME to a folder on another disk",
        ) from problem


@contextmanager
def staged_beside(home: Path, staged: Path) -> Iterator[Path]:
    """Let the home know of a file or folder that is made beside its target, outside of the home.

    Where the command is killed, the next one removes it; what becomes of it else is the caller's.
    """
    with scratch(home, _BESIDE) as folder:
        with disk_errors(folder):
            (folder / _BESIDE).write_text(str(staged.absolute()))
        yield staged


def sweep_scratch(home: Path, *, begins: bool = False) -> None:
    """Remove the folders of processes that were killed, and what these had staged elsewhere.

    Where a command `begins`, what bears its own number was left by an earlier process.
    """
    left = was_left if begins else _is_dead
    for stray in (home / "tmp").glob("*"):
        parts = stray.name.split("-")
        if len(parts) > 1 and parts[1].isdigit() and left(int(parts[1])):
            _remove_staged(stray / _BESIDE)
            shutil.rmtree(stray, ignore_errors=True)


def _is_dead(pid: int) -> bool:
    return not is_alive(pid)


def _remove_staged(note: Path) -> None:
    with suppress(OSError, ValueError):
        staged = Path(note.read_text())
        if not (staged.name.startswith(".") and staged.name.endswith(_STAGED)):
            return  # no name of ours: the note is damaged
        if staged.is_dir() and not staged.is_symlink():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            staged.unlink(missing_ok=True)
