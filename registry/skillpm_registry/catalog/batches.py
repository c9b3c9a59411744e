"""Changing many rows by their key in one round trip to PostgreSQL.

PostgreSQL gets a column of numbers as one array, so the text of a statement does not depend on the
number of rows, and is prepared once. SQLite has no arrays and no round trips: it executes a
statement for each row.

psycopg writes an array of texts in Python, and takes 0.7 µs for each quote and backslash. Rows with
texts are therefore sent one by one, in a pipeline.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    Connection,
    Table,
    TableValuedAlias,
    bindparam,
    cast,
    func,
    select,
    update,
)

from skillpm_registry.catalog.insert import on_conflict

Rows = Sequence[Mapping[str, Any]]
"""Values by column. All rows have the same columns."""
Numbers = Sequence[Mapping[str, int]]
"""Rows whose columns are all numbers."""


def update_rows(connection: Connection, table: Table, key: str, rows: Rows) -> None:
    """Set the other columns of the rows with these keys, with a statement for each row."""
    if not rows:
        return
    columns = tuple(name for name in rows[0] if name != key)
    statement = _update_one(table, key, columns)
    connection.execute(statement, [{f"new_{name}": row[name] for name in row} for row in rows])


def update_numbers(connection: Connection, table: Table, key: str, rows: Numbers) -> None:
    """Like `update_rows` for columns of numbers. One statement on PostgreSQL."""
    if rows and connection.dialect.name == "postgresql":
        columns = tuple(name for name in rows[0] if name != key)
        connection.execute(_update_all(table, key, columns), _arrays(rows))
    else:
        update_rows(connection, table, key, rows)


def insert_or_count(
    connection: Connection, table: Table, rows: Numbers, *, key: str, counter: str
) -> None:
    """Insert each row, or add 1 to a column of the row with the same key."""
    if not rows:
        return
    columns = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        connection.execute(_count_all(table, key, counter, columns), _arrays(rows))
    else:
        connection.execute(_count_one(table, key, counter), rows)


def _arrays(rows: Numbers) -> dict[str, list[int]]:
    return {f"new_{name}": [row[name] for row in rows] for name in rows[0]}


def _table_of(columns: Sequence[Column[Any]]) -> TableValuedAlias:
    """`unnest(:new_a, :new_b) AS given(a, b)`: the rows of parallel arrays."""
    arrays = [cast(bindparam(f"new_{c.name}"), ARRAY(c.type)) for c in columns]
    names = [c.name for c in columns]
    return func.unnest(*arrays).table_valued(*names, name="given").render_derived()


@cache
def _update_all(table: Table, key: str, columns: Sequence[str]) -> Any:
    given = _table_of([table.c[name] for name in (key, *columns)])
    changed = update(table).where(table.c[key] == given.c[key])
    return changed.values({name: given.c[name] for name in columns})


@cache
def _update_one(table: Table, key: str, columns: Sequence[str]) -> Any:
    changed = update(table).where(table.c[key] == bindparam(f"new_{key}"))
    return changed.values({name: bindparam(f"new_{name}") for name in columns})


@cache
def _count_all(table: Table, key: str, counter: str, columns: Sequence[str]) -> Any:
    given = _table_of([table.c[name] for name in columns])
    inserted = on_conflict(table, "postgresql").from_select(
        list(columns), select(*(given.c[name] for name in columns))
    )
    return _counted(inserted, table, key, counter)


@cache
def _count_one(table: Table, key: str, counter: str) -> Any:
    return _counted(on_conflict(table, "sqlite"), table, key, counter)


def _counted(statement: Any, table: Table, key: str, counter: str) -> Any:
    counted = {counter: table.c[counter] + 1}
    return statement.on_conflict_do_update(index_elements=[table.c[key]], set_=counted)
