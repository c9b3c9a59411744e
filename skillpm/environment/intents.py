"""What the journal may hold: names and numbers that are checked, and never a path (law 5)."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from skillpm.environment.generation import LAST_NUMBER
from skillpm.errors import SpecError, StateError
from skillpm.files.names import LONGEST, plain_name_problem
from skillpm.spec import json
from skillpm.spec.fields import DigestField, Document, read_document

_OURS = frozenset({".skillpm", "skillpm.toml", "skillpm.lock"})
_DEEPEST = 256
GRAFT_NAME_LIMIT = LONGEST - 32
"""Bytes of a graft's name: the names of what is staged beside it are longer."""


def _plain(name: str) -> str:
    problem = plain_name_problem(name)
    if problem is not None:
        raise ValueError(f"expected a plain file name: {problem}")
    return name


def _free(name: str) -> str:
    if name in _OURS:
        raise ValueError(f"{name} is no place for a graft")
    problem = plain_name_problem(name, longest=GRAFT_NAME_LIMIT)
    if problem is not None:
        raise ValueError(f"expected the name of a graft: {problem}")
    return name


PlainName = Annotated[str, AfterValidator(_plain)]
FreeName = Annotated[str, AfterValidator(_free)]


class JournaledFile(Document):
    """A project file that follows a switch: its digest before (None: missing), its text after."""

    name: Literal["skillpm.toml", "skillpm.lock"]
    before: DigestField | None
    after: str


class SwitchIntent(Document):
    """A new generation, and the files that follow it."""

    kind: Literal["switch"] = "switch"
    number: Annotated[int, Field(ge=0, le=LAST_NUMBER)]
    files: Annotated[list[JournaledFile], Field(max_length=2)]


class SwapIntent(Document):
    """A graft below the project: the names down to its folder, and its own.

    `ready` says that the staged folder is whole.
    """

    kind: Literal["graft"] = "graft"
    ready: bool
    folder: Annotated[list[FreeName], Field(max_length=_DEEPEST)]
    name: FreeName


class OutsideSwapIntent(Document):
    """A graft outside its project, as the home records it: by the path of its real folder."""

    project: str
    folder: Annotated[str, Field(pattern="^/")]
    name: PlainName
    ready: bool


Intent = SwitchIntent | SwapIntent
_KINDS: dict[str, type[Intent]] = {"switch": SwitchIntent, "graft": SwapIntent}


def parse_intent(data: bytes, path: Path) -> Intent:
    """The journal at `path`. Raises `StateError` for anything that skillpm does not write there."""
    try:
        plain = json.parse_object(data, "the journal")
        kind = plain.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise SpecError("`kind` should be `switch` or `graft`, is neither")
        return read_document(_KINDS[kind], plain, "the journal")
    except SpecError as problem:
        raise DamagedJournalError(path, problem.message) from problem


class DamagedJournalError(StateError):
    """A journal that skillpm did not write: nothing of it is carried out."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"`{path}` is damaged, and nothing of it is carried out: {reason}",
            hint="look at skillpm.toml and skillpm.lock, then remove the journal: "
            f"`rm {shlex.quote(str(path))}`",
        )
        self.path = path
