"""The documents of a project's journal, and of a home's record of a swap.

A project may come from an untrusted source. Its journal therefore holds only checked names and
numbers, and never a path (law 5).
"""

import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from skillpm.environment.generation import LAST_NUMBER
from skillpm.errors import SpecError, StateError
from skillpm.files.names import LONGEST, plain_name_problem
from skillpm.spec import json
from skillpm.spec.fields import DigestField, Document, read_document

_RESERVED = frozenset({".skillpm", "skillpm.toml", "skillpm.lock"})
_DEEPEST = 256
"""The largest number of folders between a project and a graft in it."""
GRAFT_NAME_LIMIT = LONGEST - 32
"""Bytes of a graft's name. The limit leaves room for the suffixes of staged folders."""


def _check_plain_name(name: str) -> str:
    problem = plain_name_problem(name)
    if problem is not None:
        raise ValueError(f"expected a plain file name: {problem}")
    return name


def _check_graft_name(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"{name} is reserved: a graft cannot have this name")
    problem = plain_name_problem(name, longest=GRAFT_NAME_LIMIT)
    if problem is not None:
        raise ValueError(f"expected the name of a graft: {problem}")
    return name


PlainName = Annotated[str, AfterValidator(_check_plain_name)]
GraftName = Annotated[str, AfterValidator(_check_graft_name)]


class JournaledFile(Document):
    """A project file that changes with a switch to another generation.

    `before` is the digest of its old content (None if the file did not exist), `after` its new
    text.
    """

    name: Literal["skillpm.toml", "skillpm.lock"]
    before: DigestField | None
    after: str


class SwitchIntent(Document):
    """A switch to a new generation, and the project files that change with it."""

    kind: Literal["switch"] = "switch"
    number: Annotated[int, Field(ge=0, le=LAST_NUMBER)]
    files: Annotated[list[JournaledFile], Field(max_length=2)]


class SwapIntent(Document):
    """The swap of a graft inside the project.

    `folder` are the names of the folders from the project down to the graft, `name` is the name of
    the graft. `ready` is true once the staged folder is complete.
    """

    kind: Literal["graft"] = "graft"
    ready: bool
    folder: Annotated[list[GraftName], Field(max_length=_DEEPEST)]
    name: GraftName


class OutsideSwapIntent(Document):
    """The swap of a graft outside its project, as the home records it.

    `project` and `folder` are absolute paths without symbolic links.
    """

    project: str
    folder: Annotated[str, Field(pattern="^/")]
    name: PlainName
    ready: bool


Intent = SwitchIntent | SwapIntent
_KINDS: dict[str, type[Intent]] = {"switch": SwitchIntent, "graft": SwapIntent}


def parse_intent(data: bytes, path: Path) -> Intent:
    """Parse the journal at `path`.

    Raises `DamagedJournalError` for any document that skillpm does not write.
    """
    try:
        document = json.parse_object(data, "the journal")
        kind = document.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise SpecError("`kind` should be `switch` or `graft`, is neither")
        return read_document(_KINDS[kind], document, "the journal")
    except SpecError as problem:
        raise DamagedJournalError(path, problem.message) from problem


class DamagedJournalError(StateError):
    """A journal that skillpm did not write. No part of it is carried out."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"the journal `{path}` is damaged and was not carried out: {reason}",
            hint="check skillpm.toml and skillpm.lock, then remove the journal: "
            f"`rm {shlex.quote(str(path))}`",
        )
        self.path = path
