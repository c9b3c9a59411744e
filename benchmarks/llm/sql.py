"""Questions about small tables, their SQL, and a check of an answer by execution."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATABASES = 3
ROWS = 12
STEPS = 200_000
"""SQLite's virtual machine stops after this many steps, so no answer can run for long."""
_NOUNS = """
staff books cities films rivers ships plants rooms courses planes songs horses bridges clinics farms
towers games routes wines parks stores lakes banks tools mines teams trains hotels birds paintings
satellites museums harbours recipes engines festivals
"""
_NUMBERS = "price age height score weight year area stock rating length capacity speed"
_LABELS = ("name", "title", "label", "code", "brand")
_GROUPS = ("region", "kind", "country", "team", "colour", "owner", "status", "genre")
_VALUES = ("north", "south", "red", "blue", "alpha", "beta", "old", "new")
_INSERT = "INSERT INTO {name} VALUES (?, ?, ?, ?)"
_ONCE = {
    "How many {name} are there?": "SELECT COUNT(*) FROM {name}",
    "List every {group} of the {name} once.": "SELECT DISTINCT {group} FROM {name}",
    "How many {name} are there for each {group}?": (
        "SELECT {group}, COUNT(*) FROM {name} GROUP BY {group}"
    ),
}
_FOR_EACH_NUMBER = {
    "What is the highest {number} of the {name}?": "SELECT MAX({number}) FROM {name}",
    "What is the average {number} of the {name}?": "SELECT AVG({number}) FROM {name}",
    "Which {name} have {number} above {bound}? Give the {label}.": (
        "SELECT {label} FROM {name} WHERE {number} > {bound}"
    ),
    "Give the {label} of the {name} whose {group} is {value} and {number} is below {bound}.": (
        "SELECT {label} FROM {name} WHERE {group} = '{value}' AND {number} < {bound}"
    ),
    "Which of the {name} has the lowest {number}? Give the {label}.": (
        "SELECT {label} FROM {name} ORDER BY {number} LIMIT 1"
    ),
    "What is the sum of {number} for each {group} of the {name}?": (
        "SELECT {group}, SUM({number}) FROM {name} GROUP BY {group}"
    ),
    "Give {label} and {other} of the {name}, the highest {number} first.": (
        "SELECT {label}, {other} FROM {name} ORDER BY {number} DESC"
    ),
}
READ_ONLY = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a text label, a text group and two integer columns."""

    name: str
    label: str
    group: str
    numbers: tuple[str, str]

    @property
    def schema(self) -> str:
        """The statement that creates it."""
        first, second = self.numbers
        return (
            f"CREATE TABLE {self.name} ({self.label} TEXT, {self.group} TEXT, "
            f"{first} INTEGER, {second} INTEGER);"
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one table, and a query that answers it."""

    table: Table
    text: str
    query: str

    @property
    def prompt(self) -> str:
        """What the model is asked."""
        return f"{self.table.schema}\n{self.text}"


def tables() -> Iterator[Table]:
    """One table for each noun, the same in every run."""
    for number, noun in enumerate(_NOUNS.split()):
        draw = random.Random(number)
        first, second = draw.sample(_NUMBERS.split(), 2)
        yield Table(noun, draw.choice(_LABELS), draw.choice(_GROUPS), (first, second))


def questions(table: Table) -> Iterator[Question]:
    """All questions about a table."""
    words = {"name": table.name, "label": table.label, "group": table.group}
    yield from _filled(table, _ONCE, words)
    for number, other in (table.numbers, table.numbers[::-1]):
        draw = random.Random(f"{table.name}/{number}")
        drawn = {"bound": str(draw.randint(10, 90)), "value": draw.choice(_VALUES)}
        yield from _filled(
            table, _FOR_EACH_NUMBER, {**words, **drawn, "number": number, "other": other}
        )


def _filled(
    table: Table, templates: Mapping[str, str], words: Mapping[str, str]
) -> Iterator[Question]:
    for text, query in templates.items():
        yield Question(table, text.format(**words), query.format(**words))


def is_right(question: Question, answer: str) -> bool:
    """Whether an answer, run read-only on several databases, gives what the query gives.

    Rows are compared in order only if the query has an ORDER BY. An answer that is not one SELECT
    statement, or that runs too long, is wrong.
    """
    ordered = "ORDER BY" in question.query
    for seed in range(DATABASES):
        with closing(_database(question.table, seed)) as database:
            expected = database.execute(question.query).fetchall()
            found = _rows(database, answer)
        if found is None or (found != expected if ordered else Counter(found) != Counter(expected)):
            return False
    return True


def _database(table: Table, seed: int) -> sqlite3.Connection:
    """A table of random rows; numbers are distinct, so that every order is unique."""
    draw = random.Random(f"{table.name}/{seed}")
    database = sqlite3.connect(":memory:")
    database.execute(table.schema)
    columns = [draw.sample(range(1, 100), ROWS) for _ in table.numbers]
    for place, numbers in enumerate(zip(*columns, strict=True)):
        row = (f"item {place}", draw.choice(_VALUES), *numbers)
        database.execute(_INSERT.format(name=table.name), row)
    database.commit()
    return database


def _rows(database: sqlite3.Connection, statement: str) -> list[tuple[object, ...]] | None:
    """The rows of a strange statement; None if SQLite refuses it or it takes too long."""
    database.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in READ_ONLY else sqlite3.SQLITE_DENY
    )
    budget = itertools.count()
    database.set_progress_handler(lambda: next(budget) > 0, STEPS)
    try:
        return database.execute(statement).fetchmany(10 * ROWS)
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return None
