"""The marks that a version-control merge leaves in a text: found, and the two sides told apart."""

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
    """A document that a merge left with conflict markers; `line` is where the first one stands."""

    def __init__(self, what: str, line: int, *, hint: str | None = None) -> None:
        super().__init__(f"{what}:{line} has a merge-conflict marker: it is two files in one")
        self.line = line
        self.hint = hint


def marker_line(text: str) -> int | None:
    """The number of the line, from 1, with the first marker that opens a conflict."""
    for number, line in enumerate(text.splitlines(), 1):
        if _mark(line) == "<":
            return number
    return None


def sides(text: str) -> tuple[str, str]:
    """The text as either side of the merge has it. Linear.

    What both have is in both; what only their common ancestor had (`|||||||`) is in neither.
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
    found = _MARK.fullmatch(line.rstrip("\r\n"))
    return found[1][0] if found else ""
