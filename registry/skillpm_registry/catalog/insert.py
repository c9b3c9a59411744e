"""Inserting rows that another transaction may insert at the same time."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite


def insert_new(connection: Connection, table: Table, *rows: dict[str, Any]) -> None:
    """Insert rows, except those whose key exists. The caller has looked for them on SQLite.

    SQLite's triggers refuse a row that exists, but its writers exclude each other. On PostgreSQL,
    this waits for another transaction that inserts the same key.
    """
    statement = _insert(connection, table)
    if connection.dialect.name == "postgresql":
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, rows)


def insert_or_count(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, key: str, counter: str
) -> None:
    """Insert each row, or add 1 to a column of the row with the same key. `rows` is not empty."""
    counted = _insert(connection, table).on_conflict_do_update(
        index_elements=[table.c[key]], set_={counter: table.c[counter] + 1}
    )
    connection.execute(counted, rows)


def _insert(connection: Connection, table: Table) -> Any:
    """An INSERT with the ON CONFLICT clauses of the database."""
    if connection.dialect.name == "postgresql":
        # Opening PostgreSQL has loaded this dialect; an embedded registry saves 26 ms.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)
