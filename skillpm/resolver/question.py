"""The input of the resolver: a question, and the catalogue of releases."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version

COMMAND_LINE = "the command line"
"""The origin of a requirement from the command line."""


class Catalogue(Protocol):
    """A source of releases, such as the registries of a project."""

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """All releases of each skill, in any order. A skill without releases may be absent."""
        ...


@dataclass(frozen=True, slots=True)
class RootRequirement:
    """A requirement of the user, with its origin: `skillpm.toml:7` or `the command line`."""

    requirement: Requirement
    origin: str


@dataclass(frozen=True)
class Question:
    """What a set of releases must satisfy.

    - `wanted`: the root requirements.
    - `base`: the root of the project's base. Releases built for another base are excluded, unless
      `accepted` contains the digest of their pack. Without `base`, all releases of an answer have
      the same base.
    - `locked`: versions that are preferred if the requirements match them, even yanked ones, but no
      quarantined ones.
    - `admitted`: yanked releases that may be chosen.
    - `allow_yanked`: any yanked release may be chosen.
    - `upgrading`: skills to upgrade, which are decided first.
    - `no_downgrades`: no skill outside `upgrading` may be downgraded below its locked version.
    - `lowest`: prefer the lowest version to the newest.
    - `source`: where the releases come from, for messages.
    """

    wanted: tuple[RootRequirement, ...]
    base: Digest | None = None
    locked: Mapping[SkillName, Version] = field(default_factory=dict)
    accepted: frozenset[Digest] = frozenset()
    admitted: frozenset[tuple[SkillName, Version]] = frozenset()
    allow_yanked: bool = False
    upgrading: frozenset[SkillName] = frozenset()
    no_downgrades: bool = False
    lowest: bool = False
    source: str = ""

    def excludes_base_of(self, release: Release) -> bool:
        """Whether the release is built for another base than the project's."""
        if self.base is None or release.base in (None, self.base):
            return False
        return release.digest is None or release.digest not in self.accepted

    def excludes_yanked(self, release: Release) -> bool:
        """Whether the release is yanked, and neither the lock nor an option allows it.

        Nothing allows a quarantined release.
        """
        if release.quarantined:
            return True
        if not release.yanked or self.allow_yanked:
            return False
        locked = self.locked.get(release.skill) == release.version
        return not locked and (release.skill, release.version) not in self.admitted

    def excludes_downgrade_to(self, release: Release) -> bool:
        """Whether the release would downgrade a locked skill that is not being upgraded."""
        locked = self.locked.get(release.skill)
        is_protected = self.no_downgrades and release.skill not in self.upgrading
        return is_protected and locked is not None and release.version < locked
