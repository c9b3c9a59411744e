"""Checks that an output can be written, made before a long computation."""

import errno
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

    Creates a file without a name beside it. Long commands call this at their start.
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
    try:
        _check_name(path)
        _check_writable(path.parent, staged_path(path))
    except OSError as problem:
        raise _unwritable(path, path.parent, problem) from problem


def check_output_folder(path: Path) -> None:
    """Raise `StateError` unless a folder can be created at `path`, with missing parents.

    Creates a file without a name in the nearest existing parent. An existing entry at `path` is
    not examined.
    """
    nearest = next(place for place in path.absolute().parents if os.path.lexists(place))
    try:
        _check_name(path)
        _check_writable(nearest, nearest / staged_path(path.absolute()).name)
    except OSError as problem:
        raise _unwritable(path, nearest, problem) from problem


def _check_name(path: Path) -> None:
    """Raise `OSError` if the file system does not allow the name."""
    with suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()


def _check_writable(folder: Path, probe: Path) -> None:
    """Raise `OSError` unless a file can be created in a folder.

    The file has no name, so that a killed command leaves nothing; it is named `probe` only where
    the system has no files without a name.
    """
    unnamed = getattr(os, "O_TMPFILE", 0)
    if unnamed:
        try:
            os.close(os.open(folder, unnamed | os.O_WRONLY, 0o600))
        except OSError as problem:
            if problem.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
        else:
            return
    probe.open("xb").close()
    probe.unlink()


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
