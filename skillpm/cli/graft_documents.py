"""The JSON documents of `graft`, as types; see `skillpm.cli.documents`."""

from typing import NotRequired, TypedDict

from skillpm.cli.documents import ProbeDocument, SkillDocument


class MergeDocument(TypedDict):
    """How a set is grafted. `settings` are those of the method."""

    mode: str
    method: str
    settings: dict[str, str | float]


class GraftDocument(TypedDict):
    """The result of `graft`.

    `once` is true if settings of this run differ from the project's; `keep` are then the commands
    that keep them.
    """

    path: str
    root: str
    generation: int
    skills: list[SkillDocument]
    written_bytes: int
    linked_bytes: int
    reused_bytes: int
    unchanged: bool
    seconds: float
    graft: MergeDocument
    once: bool
    keep: NotRequired[list[str]]


class KeptDocument(TypedDict):
    """The least and the mean share of gain that the probes keep."""

    worst: float
    mean: float


class ComparedDocument(TypedDict):
    """A row of `graft --compare`: the base, each skill alone, or a way to graft the set.

    `graft` is null for the first two. `kept` is null, and `error` is the reason, if the set cannot
    be grafted in this way. `keep` are the commands that give the project these
    settings.
    """

    name: str
    graft: MergeDocument | None
    current: bool
    results: list[ProbeDocument]
    kept: KeptDocument | None
    seconds: float
    error: str | None
    keep: list[str]


class ComparisonDocument(TypedDict):
    """The result of `graft --compare`. `best` and `best_merged` are names of rows."""

    generation: int
    rows: list[ComparedDocument]
    best: str | None
    best_merged: str | None
    without: list[str]
    notes: list[str]
