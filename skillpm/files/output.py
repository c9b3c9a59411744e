"""Checks that an output can be written, made before a long computation."""

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from skillpm.errors import SkillpmError, StateError
from skillpm.files.errors import FOLDER, kind_of
from skillpm.files.folder import staged_name


def staged_path(path: Path) -> Path:
    """The temporary path beside `path` at which this process writes it before the rename."""
    return path.with_name(staged_name(path.name))


def check_output(path: Path) -> None:
    """Raise `StateError` unless a file can be written at `path`.

    Creates a temporary file beside it and removes it. Long commands call this at their start.
    """
    with suppress(OSError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise StateError(
                f"`{path}` is a folder; expected the name of a file",
                hint=f"name a file in it: `{path / 'NAME'}`",
            )
        if not stat.S_ISREG(mode):
            raise StateError(
                f"`{path}` is {kind_of(mode)}; expected a regular file or an unused name",
                hint="name another file",
            )
    staged = staged_path(path)
    try:
        staged.open("xb").close()
        staged.unlink()
    except OSError as problem:
        raise _unwritable(path, path.parent, problem) from problem


def check_output_folder(path: Path) -> None:
    """Raise `StateError` unless a folder can be created at `path`, with missing parents.

    Creates a temporary folder in the nearest existing parent and removes it. An existing entry at
    `path` is not examined.
    """
    nearest = next(place for place in path.absolute().parents if os.path.lexists(place))
    probe = nearest / staged_path(path.absolute()).name
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as problem:
        raise _unwritable(path, nearest, problem) from problem


def _unwritable(path: Path, folder: Path, problem: OSError) -> SkillpmError:
    hint = f"`ls -ld {shlex.quote(str(folder))}` shows its owner and permissions"
    try:
        mode = folder.stat().st_mode
    except OSError:
        reason = f"its folder `{folder}` is missing"
        hint = f"`mkdir -p {shlex.quote(str(folder))}`"
    else:
        is_folder = stat.S_ISDIR(mode)
        reason = (problem.strerror or str(problem)) if is_folder else (
            f"`{folder}` should be {FOLDER}, is {kind_of(mode)}")  # fmt: skip
    return StateError(f"`{path}` cannot be written: {reason}", hint=hint)
