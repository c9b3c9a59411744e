"""Inserting rows that another transaction may insert at the same time."""

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.sqlite import Insert, insert

# PostgreSQL compiles SQLite's ON CONFLICT clauses as its own; importing its dialect takes 26 ms.


def insert_new(connection: Connection, table: Table, *rows: dict[str, Any]) -> None:
    """Insert rows, except those whose key exists. The caller has looked for them on SQLite.

    SQLite's triggers refuse a row that exists, but its writers exclude each other. On PostgreSQL,
    this waits for another transaction that inserts the same key.
    """
    statement: Insert = insert(table)
    if connection.dialect.name == "postgresql":
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, rows)


def insert_or_count(table: Table, row: dict[str, Any], key: str, counter: str) -> Insert:
    """A statement that inserts a row, or adds 1 to a column of the row with the same key."""
    statement = insert(table).values(row)
    return statement.on_conflict_do_update(
        index_elements=[table.c[key]], set_={counter: table.c[counter] + 1}
    )
