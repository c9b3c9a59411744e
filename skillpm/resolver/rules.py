"""The question and the closure in PubGrub's terms: what each release needs and rules out."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace

from skillpm.resolver.closure import ReleaseSets
from skillpm.resolver.positions import Positions
from skillpm.resolver.question import Question
from skillpm.resolver.shelf import ReleaseSet
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement


@dataclass(frozen=True, slots=True)
class BaseSlot:
    """The one base of an answer, which PubGrub chooses as if it were a skill."""

    def __str__(self) -> str:
        return "the base"


BASE = BaseSlot()
Package = SkillName | BaseSlot
Rank = tuple[bool, bool, bool, bool, bool, int, str]


@dataclass(frozen=True, slots=True)
class Clash:
    """No release of `skill` at `bits` goes together with one of `other` at `other_bits`."""

    skill: SkillName
    bits: int
    other: SkillName
    other_bits: int


class Rules:
    """What holds between the releases of a closure; each answer is computed once.

    Where the question names no base and the releases have several, each release that says its
    base also needs `BASE` to be that one.
    """

    def __init__(self, question: Question, release_sets: ReleaseSets) -> None:
        self.question = question
        self.release_sets = release_sets
        self.roots = _roots(release_sets) if question.base is None else ()
        self._index_of_root = {root: position for position, root in enumerate(self.roots)}
        self.wanted = frozenset(wanted.requirement.skill for wanted in question.wanted)
        self._parents = _parents(release_sets)
        self._depths = _depths(release_sets, self.wanted)
        self._needs: dict[tuple[SkillName, int], Mapping[Package, Positions]] = {}

    def rank(self, package: Package) -> Rank:
        """Which skill is settled first.

        1. what is to move; 2. what is locked; 3. what the question asks for by name; 4. what has
        requirements, before what has none: a leaf must fit what it serves, not the other way
        round; 5. what is nearest to the question; 6. by name.
        """
        if isinstance(package, BaseSlot):
            return (True, True, True, True, True, 0, "")
        return (
            False,
            package not in self.question.moving,
            package not in self.question.locked,
            package not in self.wanted,
            package not in self._parents.parents,
            self._depths.get(package, 0),
            str(package),
        )

    def is_fixed(self, skill: SkillName) -> bool:
        """Whether the question itself settles the skill's release: locked, or to move."""
        return skill in self.question.locked or skill in self.question.moving

    def position(self, release: Release) -> int:
        """The position of a release among those of its skill."""
        return self.release_sets[release.skill].position(release)

    def restricted(self, usable: Mapping[SkillName, int]) -> "Rules":
        """The same rules where only these positions of some skills may be chosen.

        The order of skills, and what each release needs, stay as they are and are not read again.
        """
        narrowed = copy(self)
        narrowed.release_sets = {
            skill: replace(release_set, usable=release_set.usable & usable[skill])
            if skill in usable
            else release_set
            for skill, release_set in self.release_sets.items()
        }
        return narrowed

    def reached(self, package: Package, chosen: Mapping[Package, int]) -> bool:
        """Whether the question, or a release that is chosen, asks for the package."""
        if isinstance(package, BaseSlot) or package in self.wanted:
            return True
        return any(
            package in self.needs(parent, chosen[parent])
            for parent in self._parents.of.get(package, ())
            if parent in chosen
        )

    def asked(self, requirement: Requirement) -> Positions:
        """The releases that a requirement admits; `no_release` if there are none."""
        release_set = self.release_sets[requirement.skill]
        return Positions(release_set.admitted(requirement.range) or release_set.no_release)

    def needs(self, skill: SkillName, position: int) -> Mapping[Package, Positions]:
        """What the release needs, all its requirements on one skill taken together."""
        key = (skill, position)
        known = self._needs.get(key)
        if known is None:
            known = self._needs[key] = self._read_needs(self.release_sets[skill].releases[position])
        return known

    def _read_needs(self, release: Release) -> Mapping[Package, Positions]:
        needs: dict[Package, Positions] = {}
        for requirement in release.requires:
            skill = requirement.skill
            both = self.asked(requirement) & needs.get(skill, Positions.full())
            needs[skill] = Positions(both.bits or self.release_sets[skill].no_release)
        if self.roots and release.base:
            needs[BASE] = Positions.singleton(self._index_of_root[release.base])
        return needs

    def alike(self, skill: SkillName, position: int) -> Positions:
        """The usable neighbours of a release that need just the same, itself included."""
        release_set = self.release_sets[skill]
        bits = 1 << position
        for step in (-1, 1):
            other = position + step
            while 0 <= other < len(release_set.releases) and _same(release_set, position, other):
                bits |= 1 << other
                other += step
        return Positions(bits)

    def clashes(self, skill: SkillName, position: int) -> Iterator[Clash]:
        """The conflicts that a release states; one with its own skill says nothing."""
        release_set = self.release_sets[skill]
        for conflict in release_set.releases[position].conflicts:
            other = self.release_sets.get(conflict.skill)
            bits = other.admitted(conflict.range) & other.usable if other else 0
            if other and bits and conflict.skill != skill:
                yield Clash(skill, 1 << position, conflict.skill, bits)


def _same(release_set: ReleaseSet, position: int, other: int) -> bool:
    mine, its = release_set.releases[position], release_set.releases[other]
    usable = bool(release_set.usable >> other & 1)
    return usable and mine.requires == its.requires and mine.base == its.base


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
    """`of` a skill: the skills with a usable release that requires it; `parents`: all of those."""

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
    """How many requirements lie between the question and each skill, at least."""
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
