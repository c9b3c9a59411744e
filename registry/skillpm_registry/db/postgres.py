"""PostgreSQL by psycopg: opening a database, its schema, and its errors."""

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from skillpm.errors import SkillpmError, UsageError
from skillpm_registry.db.engine import AUTOCOMMIT, Database, translated
from skillpm_registry.db.migrate import migrate
from skillpm_registry.errors import (
    Place,
    RegistryBusyError,
    RegistryCorruptError,
    RegistryFullError,
    RegistryNewerError,
    RegistryReadOnlyError,
)
from skillpm_registry.refusals import (
    DatabaseUnreachableError,
    RegistryOutdatedError,
    ServerLibraryError,
)

POOL = 32
"""The largest number of connections. They stay open: PostgreSQL starts a process for each."""
_CONNECT = {
    "connect_timeout": 10,
    "options": "-c statement_timeout=60000 -c lock_timeout=30000 "
    "-c idle_in_transaction_session_timeout=300000 -c timezone=UTC",
}
_MIGRATION_LOCK = 0x736B696C6C706D  # "skillpm"
_BUSY = ("40001", "40P01", "55P03")  # Serialization failure, deadlock, lock timeout.
_FULL = ("53100",)
_READ_ONLY = ("25006", "42501")
_UNREACHABLE = ("08", "28", "3D", "53", "57")  # Connection, password, database, resources, stopped.


def open_postgres(url: str, *, head: str) -> Database:
    """Open a database at the schema `head`.

    Raises `DatabaseUnreachableError`, and `RegistryOutdatedError` or `RegistryNewerError` for
    another schema.
    """
    engine, place = _engine(url)
    opened = Database(place, engine, translation, head)
    try:
        with opened.reading() as connection:
            found = _revision(connection)
        if found > head:
            raise RegistryNewerError(place, found=found, known=head)
        if found < head:
            raise RegistryOutdatedError(place, found=found or "none", needed=head)
    except BaseException:
        engine.dispose()
        raise
    return opened


def is_empty(url: str) -> bool:
    """Whether a database has no schema of a registry. Raises `DatabaseUnreachableError`."""
    engine, place = _engine(url)
    try:
        with translated(place, translation), engine.begin() as connection:
            return not _revision(connection)
    finally:
        engine.dispose()


def migrate_postgres(url: str) -> None:
    """Create or migrate the schema, in one transaction. One process at a time does so."""
    engine, place = _engine(url)
    try:
        with translated(place, translation), engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            migrate(place, connection)
    finally:
        engine.dispose()


def _engine(url: str) -> tuple[Engine, str]:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as problem:
        raise UsageError(
            "the URL of the database is malformed",
            hint="write it like `postgresql+psycopg://USER@HOST/DATABASE`",
        ) from problem
    try:
        # The last one that was returned is used next, so that few connections share the work: each
        # prepares its own statements.
        engine = create_engine(
            parsed, poolclass=QueuePool, pool_size=POOL, max_overflow=0, pool_use_lifo=True,
            connect_args=_CONNECT,
        )  # fmt: skip
    except ImportError as problem:
        raise ServerLibraryError("psycopg", "server") from problem
    event.listen(engine, "begin", _begin)
    return engine, parsed.set(password=None, query={}).render_as_string()


def _begin(connection: Connection) -> None:
    # Without autocommit, psycopg sends BEGIN before the first statement. A closed connection
    # refuses to change; its first statement raises the error that the pool understands.
    driver = connection.connection.driver_connection
    autocommit = bool(connection.get_execution_options().get(AUTOCOMMIT))
    if driver is not None and not driver.closed and driver.autocommit != autocommit:
        driver.autocommit = autocommit


def _revision(connection: Connection) -> str:
    """The number of the last applied migration; empty if there is none."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def translation(place: Place, problem: BaseException) -> SkillpmError:
    """The registry's error for one of PostgreSQL."""
    state = getattr(problem, "sqlstate", None) or "08000"
    reason = str(problem).strip().partition("\n")[0]
    if state in _BUSY:
        return RegistryBusyError(place, holder="another transaction")
    if state in _FULL:
        return RegistryFullError(place)
    if state in _READ_ONLY:
        return RegistryReadOnlyError(place)
    if state.startswith(_UNREACHABLE):
        return DatabaseUnreachableError(str(place), reason)
    return RegistryCorruptError(place, reason)
