"""SQLite in memory, for untrusted queries: read-only, with limits. Runs in the sandbox."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

STEP_LIMIT = 5_000_000
"""Instructions of SQLite's virtual machine for one query: about a second."""
RESULT_ROWS = 10_000
RESULT_CHARACTERS = 1 << 22
"""The size of a result, summed over its values."""
HEAP_BYTES = 64 << 20
_STEPS_AT_ONCE = 1000
_HIDDEN = "behind its view"
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 20,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 17,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_READS = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_FUNCTION,
})  # fmt: skip
_CREATES = _READS | {
    sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_REINDEX,
}  # fmt: skip
_CHANGES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_OWN_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_sequence"})
_FORBIDDEN = frozenset({"random", "randomblob", "load_extension"})
"""Functions without a fixed result, or that load code."""

Row = tuple[Any, ...]
FAILURES = (sqlite3.Error, sqlite3.Warning, MemoryError, OverflowError, ValueError)
"""What a query can raise. `ValueError`: a NUL character in the text."""


class DatabaseError(Exception):
    """A statement that fails or exceeds a limit. The message is a clause: `no such table: t`."""


class QueryDatabase:
    """A database that has been filled, and only answers queries."""

    def __init__(
        self,
        schema: str,
        rows: Mapping[str, list[list[Any]]],
        *,
        lenient: bool,
        backwards: bool = False,
    ) -> None:
        """Create the tables and insert the rows.

        With `lenient`, rows that violate a constraint are left out. With `backwards`, each table is
        a view that gives its rows in the opposite order: a query whose rows or whose order the data
        does not determine gives others then. Raises `DatabaseError`.
        """
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._steps = 0
        try:
            self._configure()
            self._fill(schema, rows, "OR IGNORE" if lenient else "")
            if backwards:
                self._reverse()
            self._connection.set_authorizer(_authorize_reading)
        except FAILURES as problem:
            self.close()
            raise DatabaseError(_clause(problem, self._steps)) from problem

    def close(self) -> None:
        """Free the memory."""
        self._connection.close()

    def query(self, text: str) -> list[Row]:
        """The rows of one SELECT. Raises `DatabaseError`."""
        self._steps = STEP_LIMIT
        try:
            return list(_bounded(self._connection.execute(text)))
        except FAILURES as problem:
            raise DatabaseError(_clause(problem, self._steps)) from problem

    def _configure(self) -> None:
        self._connection.text_factory = lambda data: data.decode(errors="replace")
        for category, limit in _LIMITS.items():
            self._connection.setlimit(category, limit)
        for setting in (f"hard_heap_limit = {HEAP_BYTES}", "temp_store = MEMORY"):
            self._connection.execute(f"PRAGMA {setting}").fetchall()
        self._connection.set_progress_handler(self._count, _STEPS_AT_ONCE)

    def _count(self) -> bool:
        """Count instructions; a true result stops the statement."""
        self._steps -= _STEPS_AT_ONCE
        return self._steps < 0

    def _fill(self, schema: str, rows: Mapping[str, list[list[Any]]], conflict: str) -> None:
        self._steps = STEP_LIMIT
        self._connection.set_authorizer(_authorize_creating)
        self._connection.executescript(schema)
        self._connection.set_authorizer(None)
        for table, values in rows.items():
            for row in values:
                places = ", ".join("?" * len(row))
                self._connection.execute(
                    f"INSERT {conflict} INTO {_quoted(table)} VALUES ({places})",  # noqa: S608
                    row,
                )

    def _reverse(self) -> None:
        """Replace each table by a view of it. LIMIT keeps SQLite from dropping the view's order."""
        found = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
            "ESCAPE '\\'"
        )
        for (table,) in found.fetchall():
            hidden = _quoted(f"{table} {_HIDDEN}")
            self._connection.execute(f"ALTER TABLE {_quoted(table)} RENAME TO {hidden}")
            self._connection.execute(
                f"CREATE VIEW {_quoted(table)} AS SELECT * FROM {hidden} "  # noqa: S608
                "ORDER BY rowid DESC LIMIT -1"
            )


def _quoted(name: str) -> str:
    """A name of a table in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _authorize_reading(action: int, _first: str | None, second: str | None, *_rest: Any) -> int:
    is_allowed = action in _READS and not _is_forbidden(action, second)
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _authorize_creating(action: int, first: str | None, second: str | None, *_rest: Any) -> int:
    is_own = action in _CHANGES and first in _OWN_TABLES
    is_allowed = is_own or (action in _CREATES and not _is_forbidden(action, second))
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _is_forbidden(action: int, name: str | None) -> bool:
    return action == sqlite3.SQLITE_FUNCTION and str(name).lower() in _FORBIDDEN


def _bounded(rows: Iterable[Row]) -> Iterable[Row]:
    characters = 0
    for count, row in enumerate(rows):
        characters += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if count >= RESULT_ROWS or characters > RESULT_CHARACTERS:
            raise ValueError(f"more than {RESULT_ROWS} rows or {RESULT_CHARACTERS} characters")
        yield row


def _clause(problem: BaseException, steps: int) -> str:
    if steps < 0:
        return f"more than {STEP_LIMIT:,} steps"
    if isinstance(problem, MemoryError):
        return f"more than {HEAP_BYTES >> 20} MiB of memory"
    return (str(problem).splitlines() or [type(problem).__name__])[0]
