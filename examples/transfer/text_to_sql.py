"""Questions about small tables, and the SQLite queries that answer them.

Each query form has three wordings. Two of them are for training. Held-out items are half of the
third wording, and half about tables that no training item has. The same seed gives the same items.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from examples.transfer.items import Item, distinct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROWS = 12
"""Rows of the database of a check."""
LEARNT_WORDINGS = 2
"""Wordings of a form that training items have; the others are held out."""
NOUNS = (
    "staff", "books", "cities", "films", "rivers", "ships", "plants", "rooms", "courses",
    "planes", "songs", "horses", "bridges", "clinics", "farms", "towers", "games", "routes",
    "wines", "parks", "stores", "lakes", "banks", "tools", "mines", "teams", "trains",
    "hotels", "birds", "paintings",
)  # fmt: skip
HELD_OUT_NOUNS = 6
"""The first nouns are those of held-out tables."""
_LABELS = ("name", "title", "label", "code", "brand")
_GROUPS = ("region", "kind", "country", "colour", "owner", "status", "genre")
_NUMBERS = (
    "price", "age", "height", "score", "weight", "year", "area", "stock", "rating", "length",
    "speed",
)  # fmt: skip
_VALUES = ("north", "south", "red", "blue", "alpha", "beta", "old", "new")
FORMS = {
    "SELECT COUNT(*) FROM {noun}": (
        "How many {noun} are there?",
        "Count the {noun}.",
        "What is the number of {noun}?",
    ),
    "SELECT {label} FROM {noun} WHERE {group} = '{value}'": (
        "Which {noun} have {group} {value}? Give the {label}.",
        "Give the {label} of the {noun} whose {group} is {value}.",
        "Show the {label} of all {noun} with {group} {value}.",
    ),
    "SELECT {group}, COUNT(*) FROM {noun} GROUP BY {group}": (
        "How many {noun} are there for each {group}?",
        "Count the {noun} by {group}.",
        "Give the number of {noun} for every {group}.",
    ),
    "SELECT MAX({number}) FROM {noun}": (
        "What is the highest {number} of the {noun}?",
        "Give the largest {number} of all {noun}.",
        "Find the maximum {number} among the {noun}.",
    ),
    "SELECT AVG({number}) FROM {noun}": (
        "What is the average {number} of the {noun}?",
        "Give the mean {number} of all {noun}.",
        "Find the average {number} among the {noun}.",
    ),
    "SELECT {label} FROM {noun} WHERE {number} > {bound}": (
        "Which {noun} have {number} above {bound}? Give the {label}.",
        "Give the {label} of the {noun} with {number} over {bound}.",
        "Show the {label} of all {noun} whose {number} is greater than {bound}.",
    ),
    "SELECT {label} FROM {noun} WHERE {group} = '{value}' AND {number} < {bound}": (
        "Give the {label} of the {noun} whose {group} is {value} and {number} is below {bound}.",
        "Which {noun} have {group} {value} and {number} under {bound}? Give the {label}.",
        "Show the {label} of {noun} with {group} {value} and {number} less than {bound}.",
    ),
    "SELECT {label} FROM {noun} ORDER BY {number} LIMIT 1": (
        "Which of the {noun} has the lowest {number}? Give the {label}.",
        "Give the {label} of the {noun} entry with the smallest {number}.",
        "Find the {label} of the one with the least {number} among the {noun}.",
    ),
    "SELECT SUM({number}) FROM {noun}": (
        "What is the total {number} of the {noun}?",
        "Add up the {number} of all {noun}.",
        "Find the sum of {number} over all {noun}.",
    ),
    "SELECT {label}, {other} FROM {noun} ORDER BY {number} DESC": (
        "Give {label} and {other} of the {noun}, the highest {number} first.",
        "List {label} and {other} of all {noun}, sorted by falling {number}.",
        "Show {label} and {other} of the {noun} in descending order of {number}.",
    ),
}
"""The wordings of each query form."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a text label, a text group and two integer columns."""

    noun: str
    label: str
    group: str
    numbers: tuple[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.label, self.group, *self.numbers

    @property
    def schema(self) -> str:
        """The statement that creates it."""
        first, second = self.numbers
        return (
            f"CREATE TABLE {self.noun} ({self.label} TEXT, {self.group} TEXT, "
            f"{first} INTEGER, {second} INTEGER)"
        )

    def rows(self, draw: random.Random) -> list[list[str | int]]:
        """Random rows. The numbers of a column are distinct, so that every order is unique."""
        columns = [draw.sample(range(1, 100), ROWS) for _ in self.numbers]
        return [
            [f"item {place}", draw.choice(_VALUES), *numbers]
            for place, numbers in enumerate(zip(*columns, strict=True))
        ]


def learnt(count: int, *, seed: int = 0) -> list[Item]:
    """Items to train on, with different texts: wordings and nouns that are not held out."""
    wordings = range(LEARNT_WORDINGS)
    return distinct(_drawn(f"learnt/{seed}", NOUNS[HELD_OUT_NOUNS:], wordings), count)


def held_out(count: int, *, seed: int = 0) -> list[Item]:
    """Items that measure: half have a wording that is never trained, half such a noun."""
    trained, last = range(LEARNT_WORDINGS), range(LEARNT_WORDINGS, 3)
    wordings = _drawn(f"wordings/{seed}", NOUNS[HELD_OUT_NOUNS:], last)
    nouns = _drawn(f"nouns/{seed}", NOUNS[:HELD_OUT_NOUNS], trained)
    return [*distinct(wordings, count - count // 2), *distinct(nouns, count // 2)]


def known_to_source(*, seed: int = 0) -> Iterator[Item]:
    """Items without end for the training of a source, which knows all nouns and wordings."""
    return _drawn(f"source/{seed}", NOUNS, range(3))


def _drawn(name: str, nouns: Sequence[str], wordings: range) -> Iterator[Item]:
    """Items without end, of all forms in turn."""
    draw = random.Random(name)  # noqa: S311 - examples, not keys
    number = 0
    while True:
        for form, query in enumerate(FORMS):
            yield _item(f"{name}/{number}", query, (form, draw.choice(wordings)), nouns, draw)
            number += 1


def _item(
    name: str, query: str, template: tuple[int, int], nouns: Sequence[str], draw: random.Random
) -> Item:
    number, other = draw.sample(_NUMBERS, 2)
    table = Table(draw.choice(nouns), draw.choice(_LABELS), draw.choice(_GROUPS), (number, other))
    words = {
        "noun": table.noun, "label": table.label, "group": table.group, "number": number,
        "other": other, "bound": str(10 * draw.randint(1, 9)), "value": draw.choice(_VALUES),
    }  # fmt: skip
    columns = list(table.columns)
    draw.shuffle(columns)  # so that places do not give the columns away
    form, wording = template
    gold = query.format(**words)
    question = FORMS[query][wording].format(**words)
    rows = {table.noun: table.rows(draw)}
    return Item(
        id=name,
        prompt=f"Table {table.noun} ({', '.join(columns)}).\n{question}",
        answer=gold,
        check={"sql": {"schema": table.schema, "rows": rows, "gold": gold}},
        template=f"form {form}, wording {wording}",
    )
