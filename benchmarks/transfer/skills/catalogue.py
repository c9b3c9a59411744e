"""The five skills, the source of each for table 1, and the most tokens of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.transfer.skills.dates import DATES
from benchmarks.transfer.skills.formats import FORMATS
from benchmarks.transfer.skills.functions import FUNCTIONS
from benchmarks.transfer.skills.numbers import NUMBERS
from examples.transfer import text_to_sql
from examples.transfer.source import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from examples.transfer.items import Item


class Items(Protocol):
    """What draws the items of a skill: a generator, or a module with these functions."""

    def learnt(self, count: int, *, seed: int = 0) -> list[Item]:
        """Items to train on."""

    def held_out(self, count: int, *, seed: int = 0) -> list[Item]:
        """Items that measure."""

    def known_to_source(self, *, seed: int = 0) -> Iterator[Item]:
        """Items for the training of a source."""


@dataclass(frozen=True)
class Skill:
    """A skill: what draws its items, the training of its source, and tokens of an answer."""

    name: str
    items: Items | ModuleType
    source: SourceSettings
    answer_tokens: int


def _source(
    architecture: str, vocabulary: int, *, steps: int = 150, batch: int = 64
) -> SourceSettings:
    return SourceSettings(
        architecture, vocabulary, steps=steps, batch=batch, learning_rate=5e-3, context=160
    )


SKILLS = {
    skill.name: skill
    for skill in (
        Skill("numbers", NUMBERS, _source("llama", 0, steps=500, batch=32), 32),
        Skill("sql", text_to_sql, _source("gpt2", 459), 48),
        Skill("dates", DATES, _source("gpt-neox", 320, steps=300), 40),
        Skill("formats", FORMATS, _source("t5", 400, steps=300), 40),
        Skill("functions", FUNCTIONS, _source("mamba", 400, steps=300), 40),
    )
}
"""By name, in the order of the table. The other sources of a skill are for table 2."""
