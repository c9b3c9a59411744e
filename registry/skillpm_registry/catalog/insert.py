"""Inserting rows that another transaction may insert at the same time, and rows of many tables."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert
from sqlalchemy.dialects import sqlite

_POSTGRES = "postgresql"
_TOGETHER = 40
"""The largest number of rows that one statement inserts into several tables."""
_SHAPES = 128
"""The largest number of statements of `insert_together` that are kept."""
RowOf = tuple[Table, Mapping[str, Any]]
"""A table, and the values of a row by column."""


def insert_new(connection: Connection, table: Table, *rows: Mapping[str, Any]) -> None:
    """Insert rows, except those whose key exists.

    SQLite's triggers refuse an existing row of skills, releases and blobs, so the caller has looked
    for them; SQLite's writers exclude each other. On PostgreSQL, this waits for another transaction
    that inserts the same key.
    """
    connection.execute(_new(table, connection.dialect.name), rows)


def insert_key(connection: Connection, table: Table, row: Mapping[str, Any]) -> int | None:
    """Like `insert_new` for one row. Returns its `id`, or None if its key exists."""
    key = connection.scalar(_new_key(table, connection.dialect.name), row)
    return None if key is None else int(key)


def insert_or_update(
    connection: Connection, table: Table, row: Mapping[str, Any], *, key: str, column: str
) -> Any:
    """Insert a row, or update one column of the row with its key. Returns the row, locked.

    Only on PostgreSQL, whose triggers let a row be inserted again.
    """
    statement = _new_or_updated(table, connection.dialect.name, key, column)
    return connection.execute(statement, row).one()


def insert_together(connection: Connection, *rows: RowOf) -> int:
    """Insert rows into several tables. Returns the `id` of the last row.

    On PostgreSQL, this is one statement, which saves a round trip for each row.
    """
    if connection.dialect.name != _POSTGRES or len(rows) > _TOGETHER:
        *others, (table, values) = rows
        for other, of_table in groupby(others, key=itemgetter(0)):
            connection.execute(_plain(other), [row for _, row in of_table])
        return int(connection.scalars(_plain(table).returning(table.c.id), values).one())
    flat = {
        f"{column}_{number}": value
        for number, (_, values) in enumerate(rows)
        for column, value in values.items()
    }
    shape = tuple((table, tuple(values)) for table, values in rows)
    return int(connection.scalars(_together(shape), flat).one())


@lru_cache(_SHAPES)
def _together(shape: Sequence[tuple[Table, Sequence[str]]]) -> Any:
    """`WITH row0 AS (INSERT …), … INSERT … RETURNING id`."""
    *others, last = [
        insert(table).values(
            {name: bindparam(f"{name}_{number}", type_=table.c[name].type) for name in columns}
        )
        for number, (table, columns) in enumerate(shape)
    ]
    named = [statement.cte(f"row{number}") for number, statement in enumerate(others)]
    return last.returning(shape[-1][0].c.id).add_cte(*named)


# Statements are built once: building one takes as long as executing it.


@cache
def _plain(table: Table) -> Any:
    return insert(table)


@cache
def _new(table: Table, dialect: str) -> Any:
    return on_conflict(table, dialect).on_conflict_do_nothing()


@cache
def _new_key(table: Table, dialect: str) -> Any:
    return _new(table, dialect).returning(table.c.id)


@cache
def _new_or_updated(table: Table, dialect: str, key: str, column: str) -> Any:
    statement = on_conflict(table, dialect)
    updated = {column: statement.excluded[column]}
    return statement.on_conflict_do_update(index_elements=[table.c[key]], set_=updated).returning(
        table
    )


def on_conflict(table: Table, dialect: str) -> Any:
    """An INSERT that may get the ON CONFLICT clauses of the database."""
    if dialect == _POSTGRES:
        # Opening PostgreSQL has loaded this dialect; an embedded registry saves 26 ms.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)
