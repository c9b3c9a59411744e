"""The lockfile `skillpm.lock`: the exact releases of an environment, in TOML, sorted by skill."""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from skillpm.errors import Problems, SpecError
from skillpm.spec import toml
from skillpm.spec.digests import Digest
from skillpm.spec.fields import (
    WHOLE,
    DigestField,
    Document,
    RequirementField,
    SkillNameField,
    VersionField,
    empty_dict,
    empty_list,
    read_document,
)
from skillpm.spec.memo import parse_once
from skillpm.spec.merging import MERGED, ROUTED, SUM, Merging, parse_method, parse_mode
from skillpm.spec.names import SkillName
from skillpm.spec.project import GraftTable, Setting

_HEADER = "# Written by skillpm: what is installed, exactly. Commit it; do not edit it.\n"
Weight = Annotated[float, Field(strict=False)]


class LockedBase(Document):
    """The base of the project, by name and root."""

    name: str
    root: DigestField


def _normalized(parse: Callable[[str], str]) -> AfterValidator:
    """Normalize a name with `parse`. An unknown name is kept; grafting with it fails later."""

    def normalize(text: str) -> str:
        with suppress(SpecError):
            return parse(text)
        return text

    return AfterValidator(normalize)


class LockedGraft(Document):
    """How the set is grafted, with all settings, and the root of the graft if it is known."""

    mode: Annotated[str, _normalized(parse_mode)] = MERGED
    method: Annotated[str, _normalized(parse_method)] = SUM
    settings: dict[str, Setting] = Field(default_factory=empty_dict)
    precedence: list[SkillNameField] = Field(default_factory=empty_list)
    root: DigestField | None = None

    @classmethod
    def of(cls, table: GraftTable) -> "LockedGraft":
        """The lock of a `[graft]` table. It states the defaults, which may change in the future."""
        merging = table.merging
        return cls(
            mode=table.mode,
            method=merging.method,
            settings=merging.all_settings,
            precedence=table.precedence,
        )

    def with_precedence(self, skills: Container[SkillName]) -> "LockedGraft":
        """A copy whose order of precedence contains only these skills."""
        kept = [skill for skill in self.precedence if skill in skills]
        return self.model_copy(update={"precedence": kept})

    @property
    def routed(self) -> bool:
        """Whether the mode is `routed`: each text is answered by one skill, without a merge."""
        return parse_mode(self.mode) == ROUTED

    @property
    def merging(self) -> Merging:
        """The method with its settings. Raises `SpecError` if this skillpm does not know it."""
        return Merging(self.method, self.settings)

    @property
    def merge_options(self) -> dict[str, Any]:
        """Mode, method and settings as plain values, without precedence and root."""
        return {"mode": self.mode, "method": self.method, "settings": dict(self.settings)}

    @property
    def description(self) -> str:
        """The mode, or the method with its settings: `routed`, `sum`, `ties density=0.5`."""
        if self.routed:
            return ROUTED
        return " ".join([self.method, *(f"{name}={v}" for name, v in self.settings.items())])

    @property
    def table(self) -> GraftTable:
        """The `[graft]` table of skillpm.toml that gives this lock. Raises `SpecError`."""
        precedence = list(map(str, self.precedence))
        plain = {
            **self.merge_options,
            "settings": self.merging.changed_settings,
            "precedence": precedence,
        }
        return read_document(GraftTable, plain, "`[graft]` of the lock")


class LockedSkill(Document):
    """A locked release.

    `accept_footprint` and `allow_yanked` record the options that the user gave. They are written
    only if they are true.
    """

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    size: Annotated[int, Field(ge=0)]
    registry: str
    weight: Weight = 1.0
    requires: list[RequirementField] = Field(default_factory=empty_list)
    accept_footprint: bool = False
    allow_yanked: bool = False

    @property
    def ref(self) -> str:
        """The release in messages: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"


class Lockfile(Document):
    """The whole lockfile."""

    version: Annotated[Literal[1], WHOLE] = 1
    base: LockedBase
    graft: LockedGraft = LockedGraft.model_construct()
    skill: list[LockedSkill] = Field(default_factory=empty_list)

    @property
    def skills(self) -> dict[SkillName, LockedSkill]:
        """The locked releases by skill, sorted."""
        return {locked.skill: locked for locked in sorted(self.skill, key=lambda s: s.skill)}

    @property
    def digests(self) -> list[Digest]:
        """The digests of the packs."""
        return [locked.digest for locked in self.skill]

    def with_root(self, root: Digest | None) -> "Lockfile":
        """A copy with another root of the graft; None removes it."""
        return self.model_copy(update={"graft": self.graft.model_copy(update={"root": root})})

    def with_weights(self, weights: Mapping[SkillName, float]) -> "Lockfile":
        """A copy with these weights. It has no root of a graft."""
        skills = [
            locked.model_copy(update={"weight": weights.get(locked.skill, locked.weight)})
            for locked in self.skill
        ]
        return self.model_copy(update={"skill": skills}).with_root(None)

    def same_set(self, other: "Lockfile") -> bool:
        """Whether both locks are equal, apart from the root of the graft."""
        return self.with_root(None).dumps() == other.with_root(None).dumps()

    def dumps(self) -> str:
        """The lock as TOML. Equal locks give equal text."""
        return "\n".join(_lines(self))


@parse_once
def parse_lockfile(text: str, what: str = "skillpm.lock") -> Lockfile:
    """Read a lockfile. Raises `SpecError` with every problem and its path."""
    return check_lockfile(read_document(Lockfile, toml.parse(text, what), what), what)


def check_lockfile(lock: Lockfile, what: str) -> Lockfile:
    """Return the lock unchanged. Raises `SpecError` if it lists a skill more than once."""
    problems = Problems(what)
    seen: set[SkillName] = set()
    for position, locked in enumerate(lock.skill):
        if locked.skill in seen:
            problems.add(f"skill[{position}].skill", f"duplicate skill `{locked.skill}`")
        seen.add(locked.skill)
    problems.raise_if_any(hint="`skillpm lock` writes a new lock")
    return lock


def _lines(lock: Lockfile) -> Iterator[str]:
    yield f"{_HEADER}version = {lock.version}\n"
    yield from _table("base", lock.base.to_dict())
    empty = () if lock.graft.precedence else ("precedence",)
    yield from _table("graft", lock.graft.to_dict(), skip=("settings", *empty))
    if lock.graft.settings:
        yield from _table("graft.settings", dict(sorted(lock.graft.settings.items())))
    for locked in lock.skills.values():
        plain = locked.to_dict()
        for option in ("accept_footprint", "allow_yanked"):
            if not plain[option]:
                del plain[option]
        yield from _table("[skill]", plain)


def _table(name: str, plain: dict[str, Any], *, skip: tuple[str, ...] = ()) -> Iterator[str]:
    yield f"[{name}]"
    for key, value in plain.items():
        if value is not None and key not in skip:
            yield f"{toml.key(key)} = {toml.value(value)}"
    yield ""
