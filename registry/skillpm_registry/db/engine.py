"""Transactions on the catalogue, and the translation of SQLite's errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from skillpm.errors import SkillpmError, SpecError
from skillpm_registry.db.disk import check_room
from skillpm_registry.errors import (
    RegistryBusyError,
    RegistryCorruptError,
    RegistryFullError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)

BUSY_MS = 30_000
"""Milliseconds for which SQLite waits for another process's transaction."""
READ_WRITE = "mode=rw"
IMMUTABLE = "immutable=1"
_PRIMARY = 0xFF  # The low byte of SQLite's extended result codes is the primary code.
_WRITES = "skillpm_writes"
STEPS = 200_000_000
"""The largest number of SQLite's virtual machine instructions in a transaction: some seconds."""
_LEAP = 100_000
"""The number of instructions between two checks of the limit."""
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 128_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 600,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 4,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 4_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 2,
}
"""Limits that skillpm's statements stay below. They stop a malicious database."""


@dataclass(frozen=True, slots=True)
class Database:
    """The catalogue of the registry in `folder`.

    Between transactions it has no open connection, so it can be used after a fork and in several
    threads, and need not be closed.
    """

    folder: Path
    engine: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: all its queries see the same state of the catalogue."""
        with translated(self.folder), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction: atomic, and exclusive of other writers.

        Raises `RegistryFullError` if the disk has no room for it.
        """
        check_room(self.folder)
        writer = self.engine.execution_options(**{_WRITES: True})
        with translated(self.folder), writer.begin() as connection:
            yield connection


def database(folder: Path, file: Path, *, mode: str, known: bool = True) -> Database:
    """The catalogue in `file`. `mode` is a parameter of SQLite's URI, such as `mode=rw`.

    The file is opened by the first transaction, which raises `RegistryFullError` if SQLite may need
    to write and the disk is full. Pass `known=False` for a file that may not be a catalogue of
    skillpm: then SQLite does not switch it to WAL mode.
    """
    uri = f"{file.absolute().as_uri()}?{mode}"

    def connect() -> sqlite3.Connection:
        if mode != IMMUTABLE:
            check_room(folder)
        return _connect(uri, known=known)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return Database(folder, engine)


def _connect(uri: str, *, known: bool) -> sqlite3.Connection:
    # With isolation_level None, the driver does not begin transactions; `_begin` does.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
    try:
        _restrict(connection)
        if known:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _restrict(connection: sqlite3.Connection) -> None:
    """Limit the cost of an untrusted database, before the first statement reads its schema."""
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    leaps = count(1)
    connection.set_progress_handler(lambda: int(next(leaps) * _LEAP > STEPS), _LEAP)


def _begin(connection: Connection) -> None:
    # A writer locks at once. If a reader became a writer, the state could have changed in between.
    writes = connection.get_execution_options().get(_WRITES)
    if not writes:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Translate errors of the database to errors about the registry in `folder`."""
    try:
        yield
    except DBAPIError as problem:
        raise _translation(folder, problem.orig or problem) from problem
    except UnicodeEncodeError as problem:
        raise SpecError(f"text that is not Unicode cannot be stored: {problem.reason}") from problem
    except ValueError as problem:
        raise RegistryCorruptError(folder, str(problem)) from problem


def primary_code(problem: BaseException) -> int | None:
    """SQLite's primary result code; None for errors that are not from SQLite."""
    code = getattr(problem, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def _translation(folder: Path, problem: BaseException) -> SkillpmError:
    code = primary_code(problem)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RegistryBusyError(folder, holder="another process")
    if code == sqlite3.SQLITE_FULL:
        return RegistryFullError(folder)
    if code == sqlite3.SQLITE_READONLY:
        return RegistryReadOnlyError(folder)
    if code == sqlite3.SQLITE_INTERRUPT:
        return RegistryCorruptError(folder, f"a query took more than {STEPS} steps of SQLite")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return RegistryUnreachableError(folder, str(problem))
    return RegistryCorruptError(folder, str(problem))
