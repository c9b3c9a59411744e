"""Reads every skill that a solution could contain from the catalogue, breadth first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skillpm.resolver.deadline import Deadline
from skillpm.resolver.errors import GaveUpError, UnknownWantedError
from skillpm.resolver.question import Catalogue, Question
from skillpm.resolver.release_set import ReleaseSet, make_release_set
from skillpm.spec.names import SkillName

ReleaseSets = Mapping[SkillName, ReleaseSet]


@dataclass(frozen=True)
class Reader:
    """Reads the closure of a question: the required skills and all their dependencies."""

    question: Question
    catalogue: Catalogue
    deadline: Deadline

    def read(self, *, any_base: bool = False) -> ReleaseSets:
        """The releases of every skill that is reachable through usable releases, by skill.

        With `any_base`, releases that are built for another base count as usable. Sends one query
        to the catalogue for each depth of the dependency graph. Raises `UnknownWantedError` if a
        required skill has no release, and `GaveUpError` after the deadline.
        """
        release_sets: dict[SkillName, ReleaseSet] = {}
        ask = {wanted.requirement.skill for wanted in self.question.wanted}
        while ask:
            if self.deadline.expired():
                raise GaveUpError(self.deadline.seconds)
            listed = self.catalogue.releases(sorted(ask))
            level = [
                make_release_set(self.question, skill, listed.get(skill, ()), any_base=any_base)
                for skill in sorted(ask)
            ]
            release_sets |= {release_set.skill: release_set for release_set in level}
            self._check_wanted(release_sets)
            ask = {
                skill for release_set in level for skill in _required(release_set)
            } - release_sets.keys()
        return release_sets

    def _check_wanted(self, release_sets: ReleaseSets) -> None:
        by_name = sorted(self.question.wanted, key=lambda w: (w.requirement.skill, w.origin))
        for wanted in by_name:
            if not release_sets[wanted.requirement.skill].releases:
                raise UnknownWantedError(wanted)


def _required(release_set: ReleaseSet) -> Iterator[SkillName]:
    for release in release_set.of(release_set.usable):
        for requirement in release.requires:
            yield requirement.skill
