"""Draws items of a skill, with whole wordings and whole subjects held out.

A subject is what an item is about: a number, a date, a pair of operations. A wording is a template
of the question; the last one of each form is held out. The same seed gives the same items.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from examples.transfer.items import Item, distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")
HELD_OUT_SHARE = 0.2
"""The share of the subjects that no training item has."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question with its right answer and its check. `form` is the kind of question."""

    prompt: str
    answer: str
    check: Mapping[str, Any]
    form: str


@dataclass(frozen=True)
class ItemGenerator(Generic[T]):
    """The items of a skill: `make` gives the exercise of a subject in a wording.

    The random numbers that `make` gets decide what neither of them does, such as constants.
    """

    name: str
    subjects: Sequence[T]
    wordings: int
    make: Callable[[T, int, random.Random], Exercise]

    @cached_property
    def _shuffled(self) -> list[T]:
        shuffled = list(self.subjects)
        random.Random(self.name).shuffle(shuffled)
        return shuffled

    @property
    def held_out_subjects(self) -> Sequence[T]:
        """The subjects that no training item has."""
        return self._shuffled[: round(HELD_OUT_SHARE * len(self._shuffled))]

    @property
    def learnt_subjects(self) -> Sequence[T]:
        """The subjects of training items."""
        return self._shuffled[round(HELD_OUT_SHARE * len(self._shuffled)) :]

    def learnt(self, count: int, *, seed: int = 0) -> list[Item]:
        """Items to train on, with different prompts."""
        return distinct(self._drawn(f"learnt/{seed}", self.learnt_subjects, self._known), count)

    def held_out(self, count: int, *, seed: int = 0) -> list[Item]:
        """Items that measure: half have the held-out wording, half held-out subjects."""
        last = range(self.wordings - 1, self.wordings)
        wordings = self._drawn(f"wordings/{seed}", self.learnt_subjects, last)
        subjects = self._drawn(f"subjects/{seed}", self.held_out_subjects, self._known)
        half = count // 2
        return [*distinct(wordings, count - half), *distinct(subjects, half)]

    def known_to_source(self, *, seed: int = 0) -> Iterator[Item]:
        """Items without end for the training of a source, of all subjects and wordings."""
        return self._drawn(f"source/{seed}", self.subjects, range(self.wordings))

    @property
    def _known(self) -> range:
        return range(self.wordings - 1)

    def _drawn(self, name: str, subjects: Sequence[T], wordings: range) -> Iterator[Item]:
        draw = random.Random(f"{self.name}/{name}")
        number = 0
        while True:
            wording = draw.choice(wordings)
            found = self.make(draw.choice(subjects), wording, draw)
            yield Item(
                id=f"{name}/{number}",
                prompt=found.prompt,
                answer=found.answer,
                check=found.check,
                template=f"{found.form}, wording {wording}",
            )
            number += 1
