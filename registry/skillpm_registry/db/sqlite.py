"""SQLite: connections that limit the cost of an untrusted file, and its errors."""

import sqlite3
from contextlib import suppress
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, NullPool, QueuePool, create_engine, event

from skillpm.errors import SkillpmError
from skillpm_registry.db.disk import check_room, is_network_folder
from skillpm_registry.db.engine import WRITES, Database
from skillpm_registry.errors import (
    Place,
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
_NETWORK_JOURNAL = "DELETE"
"""The journal mode on network file systems, where WAL mode's shared memory does not work."""
POOL = 16
"""Connections that a pooled database keeps open."""
_PRIMARY = 0xFF  # The low byte of SQLite's extended result codes is the primary code.
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


def database(
    folder: Path, file: Path, *, mode: str, known: bool = True, pooled: bool = False
) -> Database:
    """The catalogue in `file`. `mode` is a parameter of SQLite's URI, such as `mode=rw`.

    The file is opened by the first transaction, which raises `RegistryFullError` if SQLite may need
    to write and the disk is full. Pass `known=False` for a file that may not be a catalogue of
    skillpm: then SQLite does not change its journal mode. With `pooled`, connections stay open, as
    a server needs them.
    """
    uri = f"{file.absolute().as_uri()}?{mode}"

    def connect() -> sqlite3.Connection:
        if mode != IMMUTABLE:
            check_room(folder)
        return _connect(uri, journal=journal, shared=pooled)

    journal = None
    if known:
        journal = _NETWORK_JOURNAL if is_network_folder(folder) else "WAL"
    if pooled:
        engine = create_engine(
            "sqlite://", creator=connect, poolclass=QueuePool, pool_size=POOL, max_overflow=POOL
        )
    else:
        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return Database(folder, engine, translation)


def _connect(uri: str, *, journal: str | None, shared: bool) -> sqlite3.Connection:
    # With isolation_level None, the driver does not begin transactions; `_begin` does.
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=not shared
    )
    try:
        _restrict(connection)
        if journal == _NETWORK_JOURNAL:
            # Older versions of skillpm may have it open in WAL mode, or it may be read-only.
            with suppress(sqlite3.OperationalError):
                connection.execute(f"PRAGMA journal_mode = {journal}")
        elif journal is not None:
            connection.execute(f"PRAGMA journal_mode = {journal}")
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
    _limit_steps(connection)


def _limit_steps(connection: sqlite3.Connection) -> None:
    leaps = count(1)
    connection.set_progress_handler(lambda: int(next(leaps) * _LEAP > STEPS), _LEAP)


def _begin(connection: Connection) -> None:
    # A writer locks at once. If a reader became a writer, the state could have changed in between.
    writes = connection.get_execution_options().get(WRITES)
    driver = connection.connection.driver_connection
    if driver is not None:
        _limit_steps(driver)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def primary_code(problem: BaseException) -> int | None:
    """SQLite's primary result code; None for errors that are not from SQLite."""
    code = getattr(problem, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def translation(place: Place, problem: BaseException) -> SkillpmError:
    """The registry's error for one of SQLite."""
    code = primary_code(problem)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RegistryBusyError(place, holder="another process")
    if code == sqlite3.SQLITE_FULL:
        return RegistryFullError(place)
    if code == sqlite3.SQLITE_READONLY:
        return RegistryReadOnlyError(place)
    if code == sqlite3.SQLITE_INTERRUPT:
        return RegistryCorruptError(place, f"a query took more than {STEPS} steps of SQLite")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return RegistryUnreachableError(place, str(problem))
    return RegistryCorruptError(place, str(problem))
