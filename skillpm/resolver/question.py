"""What is asked of the resolver, and of whom it asks in turn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version

COMMAND_LINE = "the command line"
"""The origin of a requirement that a person typed."""


class Catalogue(Protocol):
    """Port: where releases come from."""

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """All releases of each skill, in any order; a skill that has none may be left out."""
        ...


@dataclass(frozen=True, slots=True)
class RootRequirement:
    """A requirement, and who asks: `skillpm.toml:7`, or `the command line`."""

    requirement: Requirement
    origin: str


@dataclass(frozen=True)
class Question:
    """What a set of releases must satisfy.

    `base` is the root of the project's base: a release that was cut from another is no candidate,
    unless its pack's digest is among `accepted`. Without `base`, all releases of one answer have
    the same base, whichever it is. `locked` versions are preferred wherever the requirements
    admit them, and may be yanked; so may those in `admitted`, and all with `allow_yanked`.

    What is in `moving` is settled before all else; with `floors`, no other skill may be taken back
    below its locked version. `lowest` prefers the lowest version to the newest. `source` says
    where releases are looked for, in messages.
    """

    wanted: tuple[RootRequirement, ...]
    base: Digest | None = None
    locked: Mapping[SkillName, Version] = field(default_factory=dict)
    accepted: frozenset[Digest] = frozenset()
    admitted: frozenset[tuple[SkillName, Version]] = frozenset()
    allow_yanked: bool = False
    moving: frozenset[SkillName] = frozenset()
    floors: bool = False
    lowest: bool = False
    source: str = ""

    def excludes_base_of(self, release: Release) -> bool:
        """Whether the release was cut from a base that this project does not have."""
        if self.base is None or release.base in (None, self.base):
            return False
        return release.digest is None or release.digest not in self.accepted

    def hides(self, release: Release) -> bool:
        """Whether the release is yanked, and nothing admits it all the same."""
        if not release.yanked or self.allow_yanked:
            return False
        locked = self.locked.get(release.skill) == release.version
        return not locked and (release.skill, release.version) not in self.admitted

    def goes_back(self, release: Release) -> bool:
        """Whether the release lies below the locked one of a skill that is not to move."""
        locked = self.locked.get(release.skill)
        held = self.floors and release.skill not in self.moving
        return held and locked is not None and release.version < locked
