"""A generation: what was installed after one change, never altered again."""

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
"""No project comes to more changes; a larger number in a state file is damage."""


def _sound_requirements(plain: dict[str, Any]) -> dict[str, Any]:
    """Refuse a `[skills]` table that no project file could have."""
    problems = Problems("requirements")
    for name, wish in plain.items():
        try:
            SkillName.parse(name)
        except SpecError as problem:
            problems.add("", problem.message)
        collect(ProjectRequirement, wish, problems)
    if problems.found:
        raise ValueError("; ".join(problems.found[:5]))
    return plain


class Installed(Document):
    """One release of a generation."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    scheme: str
    registry: str
    payload_bytes: int
    weight: Annotated[float, Field(strict=False)] = 1.0

    @property
    def ref(self) -> str:
        """How messages name it: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"


class Generation(Document):
    """Number, time and cause of a change; what is installed after it; how to get back to it.

    `lock` is the lock's text without the graft's root, `wishes` the `[skills]` table. A generation
    that `gc` has pruned keeps its number and what was installed, and says when it was pruned.
    """

    format: Literal[1] = 1
    number: Annotated[int, Field(ge=0, le=LAST_NUMBER)]
    created: str
    action: str
    base_root: DigestField
    skills: list[Installed]
    wishes: Annotated[dict[str, Any], AfterValidator(_sound_requirements)]
    lock: str
    pruned: str | None = None

    @property
    def installed(self) -> dict[SkillName, Installed]:
        """The releases by skill, sorted."""
        return {one.skill: one for one in sorted(self.skills, key=lambda s: s.skill)}

    @property
    def lockfile(self) -> Lockfile:
        """The lock that it was made from. Raises `NotFoundError` where it was pruned."""
        if self.pruned is not None:
            raise NotFoundError(
                f"generation {self.number} was pruned by `skillpm gc` on {self.pruned}: there is "
                "no way back to it",
                hint="`skillpm history` says which generations are kept",
            )
        return parse_lockfile(self.lock, f"the lock of generation {self.number}")

    def dumps(self) -> bytes:
        """Its file."""
        plain = self.to_dict()
        if self.pruned is None:
            del plain["pruned"]
        return json.pretty(plain)

    def as_pruned(self, when: str) -> "Generation":
        """What stays of it when its packs may go."""
        return self.model_copy(update={"pruned": when, "lock": "", "wishes": {}})


def parse_generation(data: bytes, what: str) -> Generation:
    """Read a generation; raise `SpecError` with every problem."""
    return read_document(Generation, json.parse_object(data, what), what)


class Entry(Protocol):
    """A release of a set, as a generation or a lock names it."""

    @property
    def skill(self) -> SkillName:
        """Its skill."""
        ...

    @property
    def version(self) -> Version:
        """Its version."""
        ...

    @property
    def digest(self) -> Digest:
        """Its pack."""
        ...

    @property
    def weight(self) -> float:
        """Its share in the graft."""
        ...


E = TypeVar("E", bound=Entry)
F = TypeVar("F", bound=Entry)


def differences(
    before: Mapping[SkillName, E], after: Mapping[SkillName, F]
) -> tuple[tuple[F, ...], tuple[E, ...], tuple[F, ...]]:
    """What was added, removed and changed, each sorted by skill."""
    added = tuple(one for skill, one in after.items() if skill not in before)
    removed = tuple(one for skill, one in before.items() if skill not in after)
    common = [skill for skill in after if skill in before]
    changed = tuple(after[skill] for skill in common if _moved(before[skill], after[skill]))
    return added, removed, changed


def new_packs(
    before: Mapping[SkillName, Entry], after: Mapping[SkillName, Entry]
) -> dict[SkillName, Digest]:
    """The packs that a change adds, or exchanges for others, by skill."""
    return {
        skill: entry.digest
        for skill, entry in after.items()
        if skill not in before or before[skill].digest != entry.digest
    }


def _moved(before: Entry, after: Entry) -> bool:
    return (before.digest, before.weight) != (after.digest, after.weight)
