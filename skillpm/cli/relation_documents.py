"""The JSON documents of `diff`, `tree`, `why` and `outdated`, as types."""

from typing import Any, TypedDict

from skillpm.cli.documents import NodeDocument, SkillDocument, StepDocument

MovedDocument = TypedDict(
    "MovedDocument",
    {
        "skill": str, "version": str, "digest": str, "from": str, "from_digest": str,
        "weight": float, "from_weight": float,
    },
)  # fmt: skip
"""A skill that differs between two sets: its values in the second one, and in the first one."""

SidesDocument = TypedDict("SidesDocument", {"from": Any, "to": Any})
"""A value of the first and of the second set."""


class DiffDocument(TypedDict):
    """The result of `diff`. `base` and `graft` are null where the sets agree."""

    added: list[SkillDocument]
    removed: list[SkillDocument]
    changed: list[MovedDocument]
    base: SidesDocument | None
    graft: SidesDocument | None


class TreeDocument(TypedDict):
    """The result of `tree`."""

    roots: list[str]
    generation: int
    skills: list[NodeDocument]
    notes: list[str]


class WhyDocument(SkillDocument):
    """The result of `why`. `wanted` is the range in skillpm.toml, or null."""

    wanted: str | None
    paths: list[list[StepDocument]]


class HoldDocument(TypedDict):
    """A reason why a newer release is not chosen."""

    by: str
    requirement: str | None
    statement: str


class OutdatedSkill(TypedDict):
    """An entry of `outdated`."""

    skill: str
    current: str
    wanted: str | None
    latest: str | None
    yanked: bool
    quarantined: bool
    held_by: list[str]
    holds: list[HoldDocument]


class SkippedDocument(TypedDict):
    """A newer release that is never chosen automatically."""

    skill: str
    version: str
    reason: str


class OutdatedDocument(TypedDict):
    """The result of `outdated`. `unlisted` skills are in no registry that can be reached."""

    outdated: list[OutdatedSkill]
    checked: int
    unlisted: list[str]
    notes: list[str]
    skipped: list[SkippedDocument]
