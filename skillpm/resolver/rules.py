"""The question and the closure in PubGrub's terms: what each release needs and rules out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skillpm.resolver.closure import Shelves
from skillpm.resolver.positions import Positions
from skillpm.resolver.question import Question
from skillpm.resolver.shelf import Shelf
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

    def __init__(self, question: Question, shelves: Shelves) -> None:
        self.question = question
        self.shelves = shelves
        self.roots = _roots(shelves) if question.base is None else ()
        self._place_of_root = {root: place for place, root in enumerate(self.roots)}
        self._wanted = frozenset(wanted.requirement.skill for wanted in question.wanted)
        self._parents = _parents(shelves)
        self._needs: dict[tuple[SkillName, int], Mapping[Package, Positions]] = {}

    def rank(self, package: Package) -> tuple[bool, bool, bool, bool, str]:
        """Which skill is settled first: what is to move, the locked, the wanted; then by name.

        It depends on the question alone, and never on how many releases there are: so a release
        that plays no part in an answer can go without the answer changing.
        """
        if isinstance(package, BaseSlot):
            return (True, True, True, True, "")
        stays = package not in self.question.moving
        locked = package in self.question.locked
        return (False, stays, not locked, package not in self._wanted, str(package))

    def reached(self, package: Package, chosen: Mapping[Package, int]) -> bool:
        """Whether the question, or a release that is chosen, asks for the package."""
        if isinstance(package, BaseSlot) or package in self._wanted:
            return True
        return any(
            package in self.needs(parent, chosen[parent])
            for parent in self._parents.get(package, ())
            if parent in chosen
        )

    def asked(self, requirement: Requirement) -> Positions:
        """The releases that a requirement admits; `nowhere` if there are none."""
        shelf = self.shelves[requirement.skill]
        return Positions(shelf.admitted(requirement.range) or shelf.nowhere)

    def needs(self, skill: SkillName, place: int) -> Mapping[Package, Positions]:
        """What the release needs, all its requirements on one skill taken together."""
        key = (skill, place)
        known = self._needs.get(key)
        if known is None:
            known = self._needs[key] = self._read_needs(self.shelves[skill].releases[place])
        return known

    def _read_needs(self, release: Release) -> Mapping[Package, Positions]:
        needs: dict[Package, Positions] = {}
        for requirement in release.requires:
            skill = requirement.skill
            both = self.asked(requirement) & needs.get(skill, Positions.full())
            needs[skill] = Positions(both.bits or self.shelves[skill].nowhere)
        if self.roots and release.base:
            needs[BASE] = Positions.singleton(self._place_of_root[release.base])
        return needs

    def alike(self, skill: SkillName, place: int) -> Positions:
        """The usable neighbours of a release that need just the same, itself included."""
        shelf = self.shelves[skill]
        bits = 1 << place
        for step in (-1, 1):
            other = place + step
            while 0 <= other < len(shelf.releases) and _same(shelf, place, other):
                bits |= 1 << other
                other += step
        return Positions(bits)

    def clashes(self, skill: SkillName, place: int) -> Iterator[Clash]:
        """The conflicts that a release states; one with its own skill says nothing."""
        shelf = self.shelves[skill]
        for conflict in shelf.releases[place].conflicts:
            other = self.shelves.get(conflict.skill)
            bits = other.admitted(conflict.range) & other.usable if other else 0
            if other and bits and conflict.skill != skill:
                yield Clash(skill, 1 << place, conflict.skill, bits)


def _same(shelf: Shelf, place: int, other: int) -> bool:
    mine, its = shelf.releases[place], shelf.releases[other]
    usable = bool(shelf.usable >> other & 1)
    return usable and mine.requires == its.requires and mine.base == its.base


def _roots(shelves: Shelves) -> tuple[Digest, ...]:
    releases = (release for shelf in shelves.values() for release in shelf.of(shelf.usable))
    roots = sorted({release.base for release in releases if release.base})
    return tuple(roots) if len(roots) > 1 else ()


def _parents(shelves: Shelves) -> Mapping[SkillName, set[SkillName]]:
    parents: dict[SkillName, set[SkillName]] = {}
    for shelf in shelves.values():
        for release in shelf.of(shelf.usable):
            for requirement in release.requires:
                parents.setdefault(requirement.skill, set()).add(shelf.skill)
    return parents
