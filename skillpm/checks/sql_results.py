"""Compares the results of two queries: as bags, or as lists where the order counts."""

import math
import re
from collections.abc import Sequence
from typing import Any

from skillpm.checks.sql_database import Row

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
"""Differences of floats that do not count: sums depend on the order of their terms."""
_DIGITS = 9
_IGNORED = re.compile(
    r"""'(?:[^']|'')*+'|"(?:[^"]|"")*+"|`[^`]*+`|\[[^\]]*+\]|--[^\n]*+|/\*.*?(?:\*/|\Z)""",
    re.DOTALL,
)
"""Strings, quoted names and comments of SQL."""


def is_ordered(query: str) -> bool:
    """Whether a query has ORDER BY outside parentheses, strings and comments."""
    depth, outside = 0, []
    for part in re.split(r"([()])", _IGNORED.sub(" _ ", query)):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if not depth:
            outside.append(part)
    return re.search(r"\border\s+by\b", " ".join(outside), re.IGNORECASE) is not None


def difference(found: Sequence[Row], expected: Sequence[Row], *, ordered: bool) -> str | None:
    """How two results differ, as a clause; None if they are equal.

    NULL equals NULL, 1 equals 1.0, and text equals no number.
    """
    if len(found) != len(expected):
        return f"expected {len(expected)} rows, found {len(found)}"
    if found and len(found[0]) != len(expected[0]):
        return f"expected {len(expected[0])} columns, found {len(found[0])}"
    if not _equal(_sorted(found), _sorted(expected)):
        return "the rows have other values"
    if ordered and not _equal(found, expected):
        return "the rows are in another order"
    return None


def _equal(found: Sequence[Row], expected: Sequence[Row]) -> bool:
    return all(all(map(_same, row, other)) for row, other in zip(found, expected, strict=True))


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, float) or isinstance(other, float):
        numbers = isinstance(value, int | float) and isinstance(other, int | float)
        return numbers and math.isclose(value, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return type(value) is type(other) and bool(value == other)


def _sorted(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: tuple(map(_key, row)))


def _key(value: Any) -> tuple[int, Any]:
    """A key of a total order: NULL, numbers, text, bytes. Nearly equal floats share a key."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, float(f"{float(value):.{_DIGITS}g}")
    return (2, value) if isinstance(value, str) else (3, value)
