"""Plain file names, the only names that an untrusted document may use."""

import os

from skillpm.errors import SpecError

LONGEST = 255
"""The longest file name, in bytes, that common file systems support."""


def plain_name_problem(name: str, *, longest: int = LONGEST) -> str | None:
    """Why `name` is not a plain file name, as a clause; None if it is one.

    A plain name is one path component: not empty, not `.` or `..`, without separators and control
    characters, and encodable for the file system.
    """
    if name in {"", ".", ".."}:
        return "it does not name a file"
    if "/" in name:
        return "it contains a path separator"
    if not name.isprintable():
        return "it contains characters that cannot be printed"
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return "it is not text"
    return None if length <= longest else f"it is longer than {longest} bytes"


def check_plain_name(name: object, what: str, *, longest: int = LONGEST) -> str:
    """Return `name` if it is a plain file name. Raises `SpecError` that names `what`."""
    problem = (
        plain_name_problem(name, longest=longest) if isinstance(name, str) else "it is not text"
    )
    if problem is not None:
        raise SpecError(f"{what} should be a plain file name, is {str(name)[:80]!r}: {problem}")
    return str(name)
