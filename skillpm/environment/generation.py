"""A generation: an immutable record of what is installed after one change."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import AfterValidator, Field

from skillpm.errors import NotFoundError, Problems, SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import (
    DigestField,
    Document,
    SkillNameField,
    VersionField,
    collect,
    read_document,
)
from skillpm.spec.lockfile import Lockfile, parse_lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectRequirement
from skillpm.spec.versions import Version

LAST_NUMBER = 999_999_999
"""The largest generation number. A state file with a larger number is damaged."""


def _check_requirements(requirements: dict[str, Any]) -> dict[str, Any]:
    """Return a `[skills]` table. Raises `ValueError` if a project file could not hold it."""
    problems = Problems("requirements")
    for name, requirement in requirements.items():
        try:
            SkillName.parse(name)
        except SpecError as problem:
            problems.add("", problem.message)
        collect(ProjectRequirement, requirement, problems)
    if problems.found:
        raise ValueError("; ".join(problems.found[:5]))
    return requirements


class Installed(Document):
    """A release that is installed in a generation."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    scheme: str
    registry: str
    payload_bytes: int
    weight: Annotated[float, Field(strict=False)] = 1.0

    @property
    def ref(self) -> str:
        """The release as messages name it: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"


class Generation(Document):
    """The number, time and cause of a change, and the state of the environment after it.

    `lock` is the text of the lock without the graft's root, and `wishes` is the `[skills]` table;
    `rollback` restores both. `skillpm gc` prunes old generations: a pruned generation keeps its
    number, its list of releases and the time of pruning, but neither lock nor requirements.
    """

    format: Literal[1] = 1
    number: Annotated[int, Field(ge=0, le=LAST_NUMBER)]
    created: str
    action: str
    base_root: DigestField
    skills: list[Installed]
    wishes: Annotated[dict[str, Any], AfterValidator(_check_requirements)]
    lock: str
    pruned: str | None = None

    @property
    def installed(self) -> dict[SkillName, Installed]:
        """The installed releases by skill, in the order of the skills' names."""
        return {entry.skill: entry for entry in sorted(self.skills, key=lambda s: s.skill)}

    @property
    def lockfile(self) -> Lockfile:
        """The lock of this generation. Raises `NotFoundError` if the generation was pruned."""
        if self.pruned is not None:
            raise NotFoundError(
                f"generation {self.number} was pruned by `skillpm gc` on {self.pruned}: it cannot "
                "be restored",
                hint="`skillpm history` lists the generations that can be restored",
            )
        return parse_lockfile(self.lock, f"the lock of generation {self.number}")

    def dumps(self) -> bytes:
        """The content of the generation's file: indented JSON."""
        document = self.to_dict()
        if self.pruned is None:
            del document["pruned"]
        return json.pretty(document)

    def as_pruned(self, when: str) -> "Generation":
        """The generation without lock and requirements, so that `gc` may remove its packs."""
        return self.model_copy(update={"pruned": when, "lock": "", "wishes": {}})


def parse_generation(data: bytes, what: str) -> Generation:
    """Parse a generation's file. Raises `SpecError` that lists every problem in `what`."""
    return read_document(Generation, json.parse_object(data, what), what)


class Entry(Protocol):
    """A release in a generation or in a lock."""

    @property
    def skill(self) -> SkillName:
        """The name of the skill."""
        ...

    @property
    def version(self) -> Version:
        """The version of the release."""
        ...

    @property
    def digest(self) -> Digest:
        """The digest of the release's pack."""
        ...

    @property
    def weight(self) -> float:
        """The weight of the skill in the graft."""
        ...


E = TypeVar("E", bound=Entry)
F = TypeVar("F", bound=Entry)


def differences(
    before: Mapping[SkillName, E], after: Mapping[SkillName, F]
) -> tuple[tuple[F, ...], tuple[E, ...], tuple[F, ...]]:
    """The entries that a change adds, removes and replaces, each in the order of its mapping.

    An entry is replaced if its digest or its weight differs; the third tuple holds the new entries.
    """
    added = tuple(entry for skill, entry in after.items() if skill not in before)
    removed = tuple(entry for skill, entry in before.items() if skill not in after)
    common = [skill for skill in after if skill in before]
    changed = tuple(after[skill] for skill in common if _differs(before[skill], after[skill]))
    return added, removed, changed


def new_packs(
    before: Mapping[SkillName, Entry], after: Mapping[SkillName, Entry]
) -> dict[SkillName, Digest]:
    """The digests of packs that are in `after` but not in `before`, by skill."""
    return {
        skill: entry.digest
        for skill, entry in after.items()
        if skill not in before or before[skill].digest != entry.digest
    }


def _differs(before: Entry, after: Entry) -> bool:
    return (before.digest, before.weight) != (after.digest, after.weight)
