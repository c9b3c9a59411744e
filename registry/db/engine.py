"""Transactions on the catalogue, and SQLite's errors in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from registry.db.disk import check_room
from registry.errors import (
    RegistryBusyError,
    RegistryCorruptError,
    RegistryFullError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)
from skillpm.errors import SkillpmError, SpecError

BUSY_MS = 30_000
READ_WRITE = "mode=rw"
IMMUTABLE = "immutable=1"
_PRIMARY = 0xFF  # SQLite's extended codes keep the primary one in their low byte.
_WRITES = "skillpm_writes"


@dataclass(frozen=True, slots=True)
class Database:
    """The catalogue of the registry in `folder`.

    It holds no connection between transactions, so it may cross forks and threads, and forgetting
    it leaks nothing.
    """

    folder: Path
    engine: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that sees one state of the catalogue."""
        with translated(self.folder), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that is done whole or not at all; no other writes meanwhile.

        Raises `RegistryFullError` where the disk has no room for it.
        """
        check_room(self.folder)
        writer = self.engine.execution_options(**{_WRITES: True})
        with translated(self.folder), writer.begin() as connection:
            yield connection


def database(folder: Path, file: Path, *, mode: str) -> Database:
    """The catalogue in `file`, opened as SQLite's URI parameter `mode` says (`mode=rw`).

    Nothing is opened before the first transaction. Raises `RegistryFullError` then, where SQLite
    might write and the disk is full.
    """
    uri = f"{file.absolute().as_uri()}?{mode}"

    def connect() -> sqlite3.Connection:
        if mode != IMMUTABLE:
            check_room(folder)
        return _connect(uri)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return Database(folder, engine)


def _connect(uri: str) -> sqlite3.Connection:
    # With isolation_level None the driver begins nothing on its own: `_begin` does.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _begin(connection: Connection) -> None:
    # A writer takes its turn at once: a reader that turns writer could find the state changed.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn the database's errors in the body into errors about the registry in `folder`."""
    try:
        yield
    except DBAPIError as problem:
        raise _translation(folder, problem.orig or problem) from problem
    except UnicodeEncodeError as problem:
        raise SpecError(f"text that is not Unicode cannot be stored: {problem.reason}") from problem
    except ValueError as problem:
        raise RegistryCorruptError(folder, str(problem)) from problem


def primary_code(problem: BaseException) -> int | None:
    """SQLite's primary result code, where `problem` is SQLite's own."""
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
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return RegistryUnreachableError(folder, str(problem))
    return RegistryCorruptError(folder, str(problem))
