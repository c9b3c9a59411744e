"""The question in PubGrub's terms: what each release requires, and what it excludes."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace

from skillpm.resolver.closure import ReleaseSets
from skillpm.resolver.positions import Positions
from skillpm.resolver.question import Question
from skillpm.resolver.release_set import ReleaseSet
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement


@dataclass(frozen=True, slots=True)
class BaseSlot:
    """A pseudo-package whose versions are the possible bases of an answer."""

    def __str__(self) -> str:
        return "the base"


BASE = BaseSlot()
Package = SkillName | BaseSlot
Rank = tuple[bool, bool, bool, bool, bool, int, str]


@dataclass(frozen=True, slots=True)
class Clash:
    """The releases of `skill` at `bits` conflict with those of `other` at `other_bits`."""

    skill: SkillName
    bits: int
    other: SkillName
    other_bits: int


class Rules:
    """Requirements and conflicts between the releases of a closure, computed once and cached.

    If the question has no base and the releases are built for several, each release also requires
    its own base as the version of `BASE`.
    """

    def __init__(self, question: Question, release_sets: ReleaseSets) -> None:
        self.question = question
        self.release_sets = release_sets
        self.roots = _roots(release_sets) if question.base is None else ()
        self._index_of_root = {root: position for position, root in enumerate(self.roots)}
        self.wanted = frozenset(wanted.requirement.skill for wanted in question.wanted)
        self._parents = _parents(release_sets)
        self._depths = _depths(release_sets, self.wanted)
        self._dependencies: dict[tuple[SkillName, int], Mapping[Package, Positions]] = {}

    def rank(self, package: Package) -> Rank:
        """The sort key of a package: the smallest is decided first.

        1. skills to upgrade; 2. locked skills; 3. directly required skills; 4. skills with
        requirements, so that leaves adapt to them; 5. by depth in the dependency graph; 6. by name.
        """
        if isinstance(package, BaseSlot):
            return (True, True, True, True, True, 0, "")
        return (
            False,
            package not in self.question.upgrading,
            package not in self.question.locked,
            package not in self.wanted,
            package not in self._parents.parents,
            self._depths.get(package, 0),
            str(package),
        )

    def is_fixed(self, skill: SkillName) -> bool:
        """Whether the skill is locked or being upgraded, so that `improve` must not change it."""
        return skill in self.question.locked or skill in self.question.upgrading

    def position(self, release: Release) -> int:
        """The position of a release among those of its skill."""
        return self.release_sets[release.skill].position(release)

    def restricted(self, usable: Mapping[SkillName, int]) -> "Rules":
        """A copy in which some skills are limited to the given positions.

        The order of skills and the cached requirements are shared with the original.
        """
        narrowed = copy(self)
        narrowed.release_sets = {
            skill: replace(release_set, usable=release_set.usable & usable[skill])
            if skill in usable
            else release_set
            for skill, release_set in self.release_sets.items()
        }
        return narrowed

    def is_required(self, package: Package, chosen: Mapping[Package, int]) -> bool:
        """Whether the question or a chosen release requires the package."""
        if isinstance(package, BaseSlot) or package in self.wanted:
            return True
        return any(
            package in self.dependencies(parent, chosen[parent])
            for parent in self._parents.of.get(package, ())
            if parent in chosen
        )

    def matching(self, requirement: Requirement) -> Positions:
        """The releases that a requirement matches; `no_release` if there are none."""
        release_set = self.release_sets[requirement.skill]
        return Positions(release_set.admitted(requirement.range) or release_set.no_release)

    def dependencies(self, skill: SkillName, position: int) -> Mapping[Package, Positions]:
        """The requirements of a release by package. Requirements on one skill are intersected."""
        key = (skill, position)
        known = self._dependencies.get(key)
        if known is None:
            known = self._dependencies[key] = self._read_dependencies(
                self.release_sets[skill].releases[position]
            )
        return known

    def _read_dependencies(self, release: Release) -> Mapping[Package, Positions]:
        dependencies: dict[Package, Positions] = {}
        for requirement in release.requires:
            skill = requirement.skill
            combined = self.matching(requirement) & dependencies.get(skill, Positions.full())
            dependencies[skill] = Positions(combined.bits or self.release_sets[skill].no_release)
        if self.roots and release.base:
            dependencies[BASE] = Positions.singleton(self._index_of_root[release.base])
        return dependencies

    def interchangeable(self, skill: SkillName, position: int) -> Positions:
        """A release and the adjacent usable releases with the same requirements and base."""
        release_set = self.release_sets[skill]
        bits = 1 << position
        for step in (-1, 1):
            neighbour = position + step
            while 0 <= neighbour < len(release_set.releases) and _are_interchangeable(
                release_set, position, neighbour
            ):
                bits |= 1 << neighbour
                neighbour += step
        return Positions(bits)

    def clashes(self, skill: SkillName, position: int) -> Iterator[Clash]:
        """The conflicts that a release declares. A conflict with its own skill is ignored."""
        release_set = self.release_sets[skill]
        for conflict in release_set.releases[position].conflicts:
            other = self.release_sets.get(conflict.skill)
            bits = other.admitted(conflict.range) & other.usable if other else 0
            if other and bits and conflict.skill != skill:
                yield Clash(skill, 1 << position, conflict.skill, bits)


def _are_interchangeable(release_set: ReleaseSet, position: int, neighbour: int) -> bool:
    release, other = release_set.releases[position], release_set.releases[neighbour]
    usable = bool(release_set.usable >> neighbour & 1)
    return usable and release.requires == other.requires and release.base == other.base


def _roots(release_sets: ReleaseSets) -> tuple[Digest, ...]:
    releases = (
        release
        for release_set in release_sets.values()
        for release in release_set.of(release_set.usable)
    )
    roots = sorted({release.base for release in releases if release.base})
    return tuple(roots) if len(roots) > 1 else ()


@dataclass(frozen=True)
class Parents:
    """The dependency graph, reversed.

    `of` maps a skill to the skills that have a usable release which requires it. `parents` is the
    union of its values: the skills with requirements.
    """

    of: Mapping[SkillName, set[SkillName]]
    parents: frozenset[SkillName]


def _parents(release_sets: ReleaseSets) -> Parents:
    parents: dict[SkillName, set[SkillName]] = {}
    for release_set in release_sets.values():
        for release in release_set.of(release_set.usable):
            for requirement in release.requires:
                parents.setdefault(requirement.skill, set()).add(release_set.skill)
    return Parents(parents, frozenset().union(*parents.values()))


def _depths(release_sets: ReleaseSets, wanted: frozenset[SkillName]) -> Mapping[SkillName, int]:
    """The smallest number of requirements between the question and each skill."""
    depths: dict[SkillName, int] = {}
    level, depth = set(wanted), 0
    while level:
        depths |= dict.fromkeys(level, depth)
        level = {
            requirement.skill
            for skill in level
            for release in release_sets[skill].of(release_sets[skill].usable)
            for requirement in release.requires
        } - depths.keys()
        depth += 1
    return depths
