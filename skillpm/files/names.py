"""Plain file names: what a record may name inside a folder, and nothing else."""

import os

from skillpm.errors import SpecError

LONGEST = 255
"""Bytes of a name: the limit of every file system in use."""


def plain_name_problem(name: str, *, longest: int = LONGEST) -> str | None:
    """Why `name` is no plain file name, as a clause; None where it is one.

    A plain name is one step below a folder: not empty, not `.` or `..`, no separator, no control
    character, text that the file system can hold.
    """
    if name in {"", ".", ".."}:
        return "it names no file"
    if "/" in name:
        return "it holds a path separator"
    if not name.isprintable():
        return "it holds characters that cannot be printed"
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return "it is not text"
    return None if length <= longest else f"it is longer than {longest} bytes"


def check_plain_name(name: object, what: str, *, longest: int = LONGEST) -> str:
    """The name, where it is a plain one. Raises `SpecError` that says what was found instead."""
    problem = (
        plain_name_problem(name, longest=longest) if isinstance(name, str) else "it is not text"
    )
    if problem is not None:
        raise SpecError(f"{what} should be a plain file name, is {str(name)[:80]!r}: {problem}")
    return str(name)
