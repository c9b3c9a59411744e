"""Derives further databases from a given one, as a function of its rows and the gold query.

The method is that of test suites for text-to-SQL (Zhong, Yu and Klein 2020): values that decide a
condition of the gold query are added, and columns are mixed independently of each other, so that
queries with a wrong condition, join or column give other rows. Random choices come from SHA-256,
so every machine derives the same databases.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skillpm.checks.sql import Rows

VARIANTS = 12
_KEPT = 4
"""One row in `_KEPT` is left out in every second variant."""
_TEXT = re.compile(r"'((?:[^']|'')*+)'")
_NUMBER = re.compile(r"(?<![\w.])\d{1,15}(?:\.\d{1,15})?(?![\w.])")
_WILDCARDS = str.maketrans("", "", "%_*?")


def variants(rows: Rows, gold: str) -> list[Rows]:
    """Derive `VARIANTS` databases with the tables of `rows`."""
    bounds = _bounds_of(gold)
    return [
        {
            name: _Mixed(f"{number}\0{name}", bounds).table(table, drops=number % 2 == 1)
            for name, table in rows.items()
        }
        for number in range(VARIANTS)
    ]


def _bounds_of(gold: str) -> list[Any]:
    """The literals of a query; for whole numbers, also their neighbours."""
    values: list[Any] = []
    for text in _TEXT.findall(gold):
        values += [text.replace("''", "'"), text.replace("''", "'").translate(_WILDCARDS)]
    for literal in _NUMBER.findall(_TEXT.sub(" ", gold)):
        if "." in literal:
            values.append(float(literal))
        else:
            values += [int(literal) - 1, int(literal), int(literal) + 1]
    return list(dict.fromkeys(values))


@dataclass(frozen=True)
class _Mixed:
    """Mixes the columns of a table. `seed` decides all choices."""

    seed: str
    bounds: Sequence[Any]

    def table(self, table: list[list[Any]], *, drops: bool) -> list[list[Any]]:
        """The table with mixed columns. A table whose rows have different lengths is unchanged."""
        if len({len(row) for row in table}) != 1:
            return table
        columns = zip(*table, strict=True)
        mixed = [self._column(f"{place}", list(column)) for place, column in enumerate(columns)]
        rows = [list(row) for row in zip(*mixed, strict=True)]
        kept = [row for place, row in enumerate(rows) if self._draw("row", place) % _KEPT]
        return kept if drops and kept else rows

    def _column(self, name: str, values: list[Any]) -> list[Any]:
        """A column whose values are all different keeps that, since it may be a key.

        NULL appears only in columns that have it.
        """
        fitting = self._fitting(_kind(values))
        if len(set(values)) == len(values):
            fitting = [value for value in fitting if value not in values]
            order = sorted(range(len(values)), key=lambda place: self._draw(name, place))
            mixed = [values[place] for place in order]
            for step, value in enumerate(fitting[: len(values) // 2]):
                mixed[(self._draw(name, -1) + step) % len(mixed)] = value
            return mixed
        return [self._choice(f"{name} {place}", values, fitting) for place in range(len(values))]

    def _fitting(self, kind: str) -> list[Any]:
        """The literals that a column of this kind may have; numbers as the column writes them."""
        if kind == "number":
            return [float(value) for value in self.bounds if not isinstance(value, str)]
        return [value for value in self.bounds if _kind([value]) == kind]

    def _choice(self, name: str, values: list[Any], fitting: list[Any]) -> Any:
        """A value of the column, or as often a literal that fits it, if there is one."""
        pool = fitting if fitting and self._draw(name, 0) % 2 else values
        return pool[self._draw(name, 1) % len(pool)]

    def _draw(self, name: str, place: int) -> int:
        text = f"{self.seed}\0{name}\0{place}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8])


def _kind(values: Sequence[Any]) -> str:
    """The type that all values except NULL have: `text`, `whole`, `number`, or `mixed`."""
    types = {type(value) for value in values if value is not None}
    if types in ({float}, {int, float}):
        return "number"
    return {str: "text", int: "whole"}.get(types.pop(), "mixed") if len(types) == 1 else "mixed"
