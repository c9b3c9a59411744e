"""`sql`: the answer's query returns what the gold query returns, on several databases.

`schema` creates tables. `rows` is one database, `{TABLE: [[VALUE, …], …]}`, or a list of them.
Further databases are derived from them (`sql_variants`), so that a query that is right by accident
on one of them fails on another. `sql_examiner` runs the queries in the sandbox.
"""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator

from skillpm.checks.check import Check, Place
from skillpm.spec.faults import describe_value

DATABASE_LIMIT = 16
TABLE_LIMIT = 32
ROW_LIMIT = 2000
"""Rows of a database."""
CELL_LIMIT = 20_000
"""Values of a database."""
_TEXT = 8192
_INTEGER = 1 << 63

Rows = dict[str, list[list[Any]]]
"""The rows of each table."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class SqlCheck(Check):
    """A gold query in SQLite's dialect, and the databases on which answers are compared with it.

    The order of rows counts only if the gold query has ORDER BY outside parentheses. Column names
    do not count, the order of columns does.
    """

    kind: ClassVar[str] = "sql"
    place: ClassVar[Place] = Place.SHARED_SANDBOX
    worker: ClassVar[str | None] = "skillpm.checks.worker"

    tables: Annotated[str, Field(alias="schema", max_length=1 << 14, pattern=r"\S")]
    rows: Annotated[
        list[Rows], BeforeValidator(_listed), Field(min_length=1, max_length=DATABASE_LIMIT)
    ]
    gold: Annotated[str, Field(max_length=1 << 12, pattern=r"\S")]

    @field_validator("rows")
    @classmethod
    def _bounded(cls, databases: list[Rows]) -> list[Rows]:
        for rows in databases:
            if len(rows) > TABLE_LIMIT:
                raise ValueError(f"expected at most {TABLE_LIMIT} tables, found {len(rows)}")
            count = sum(map(len, rows.values()))
            if count > ROW_LIMIT:
                raise ValueError(f"expected at most {ROW_LIMIT} rows, found {count}")
            cells = [cell for table in rows.values() for row in table for cell in row]
            if len(cells) > CELL_LIMIT:
                raise ValueError(f"expected at most {CELL_LIMIT} values, found {len(cells)}")
            for cell in cells:
                _check_cell(cell)
        return databases


def _check_cell(cell: Any) -> None:
    is_whole = isinstance(cell, int) and -_INTEGER <= cell < _INTEGER
    is_text = isinstance(cell, str) and len(cell) <= _TEXT
    if not (cell is None or is_whole or is_text or isinstance(cell, float)):
        raise ValueError(
            f"expected null, a number of 64 bits, or text of at most {_TEXT} characters, found "
            f"{describe_value(cell)}"
        )
