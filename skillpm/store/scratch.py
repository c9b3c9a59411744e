"""A folder for what is being made; what a killed command left there goes with the next one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skillpm.errors import StateError
from skillpm.journal.owner import is_alive


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


def sweep_scratch(home: Path) -> None:
    """Remove the folders of processes that were killed."""
    for stray in (home / "tmp").glob("*"):
        parts = stray.name.split("-")
        if len(parts) > 1 and parts[1].isdigit() and not is_alive(int(parts[1])):
            shutil.rmtree(stray, ignore_errors=True)
