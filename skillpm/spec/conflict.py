"""Conflict markers that a version-control merge leaves in a file."""

import re
from enum import Enum

from skillpm.errors import SpecError

_MARK = re.compile(r"(<{7}|\|{7}|={7}|>{7})(?:[ \t].*)?")


class _Side(Enum):
    BOTH = ""
    OURS = "<"
    ANCESTOR = "|"
    THEIRS = "="


class ConflictMarkerError(SpecError):
    """A document has conflict markers of a merge. `line` is the line of the first marker."""

    def __init__(self, what: str, line: int, *, hint: str | None = None) -> None:
        super().__init__(f"{what}:{line} has a merge-conflict marker")
        self.line = line
        self.hint = hint


def marker_line(text: str) -> int | None:
    """The number of the first line (from 1) that opens a conflict; None if there is none."""
    for number, line in enumerate(text.splitlines(), 1):
        if _mark(line) == "<":
            return number
    return None


def sides(text: str) -> tuple[str, str]:
    """The two versions of a conflicted text: ours and theirs. Linear.

    Lines outside conflicts are in both. Lines of the common ancestor (`|||||||`) are in neither.
    """
    ours, theirs = [], []
    where = _Side.BOTH
    for line in text.splitlines(keepends=True):
        mark = _mark(line)
        if mark == ">" and where is not _Side.BOTH:
            where = _Side.BOTH
        elif mark and (mark == "<") == (where is _Side.BOTH) and mark != ">":
            where = _Side(mark)
        else:
            ours += [line] * (where in (_Side.BOTH, _Side.OURS))
            theirs += [line] * (where in (_Side.BOTH, _Side.THEIRS))
    return "".join(ours), "".join(theirs)


def _mark(line: str) -> str:
    match = _MARK.fullmatch(line.rstrip("\r\n"))
    return match[1][0] if match else ""
