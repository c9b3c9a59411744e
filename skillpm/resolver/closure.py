"""Reads all that an answer could hold out of the catalogue, level by level."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skillpm.resolver.errors import GaveUpError, UnknownWantedError
from skillpm.resolver.patience import Deadline
from skillpm.resolver.question import Catalogue, Question
from skillpm.resolver.shelf import ReleaseSet, shelve
from skillpm.spec.names import SkillName

Shelves = Mapping[SkillName, ReleaseSet]


@dataclass(frozen=True)
class Reader:
    """Reads a question's closure; `any_base` leaves no release out for its base."""

    question: Question
    catalogue: Catalogue
    patience: Deadline

    def read(self, *, any_base: bool = False) -> Shelves:
        """The shelves of all skills that usable releases lead to.

        One query for each depth of the graph, however many skills there are. Raises
        `UnknownWantedError` for a wanted skill that has no release, `GaveUpError` when out of
        time.
        """
        shelves: dict[SkillName, ReleaseSet] = {}
        ask = {wanted.requirement.skill for wanted in self.question.wanted}
        while ask:
            if self.patience.expired():
                raise GaveUpError(self.patience.seconds)
            found = self.catalogue.releases(sorted(ask))
            level = [
                shelve(self.question, skill, found.get(skill, ()), any_base=any_base)
                for skill in sorted(ask)
            ]
            shelves |= {shelf.skill: shelf for shelf in level}
            self._check_wanted(shelves)
            ask = {skill for shelf in level for skill in _required(shelf)} - shelves.keys()
        return shelves

    def _check_wanted(self, shelves: Shelves) -> None:
        by_name = sorted(self.question.wanted, key=lambda w: (w.requirement.skill, w.origin))
        for wanted in by_name:
            if not shelves[wanted.requirement.skill].releases:
                raise UnknownWantedError(wanted)


def _required(shelf: ReleaseSet) -> Iterator[SkillName]:
    for release in shelf.of(shelf.usable):
        for requirement in release.requires:
            yield requirement.skill
