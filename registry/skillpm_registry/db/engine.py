"""Transactions on a database, and the translation of its errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from skillpm.errors import SkillpmError, SpecError
from skillpm_registry.db.disk import check_room
from skillpm_registry.errors import Place, RegistryBusyError, RegistryCorruptError

WRITES = "skillpm_writes"
"""The execution option of a connection whose transaction writes."""
AUTOCOMMIT = "skillpm_autocommit"
"""The execution option of a connection on which PostgreSQL commits each statement by itself."""
Translate = Callable[[Place, BaseException], SkillpmError]


@dataclass(frozen=True, slots=True)
class Database:
    """The catalogue of a registry.

    `place` is the folder of the registry, or the URL of the database without a password. A database
    that is not pooled has no open connection between transactions, so it can be used after a fork
    and need not be closed. `schema` is the number of its newest migration.
    """

    place: Place
    engine: Engine
    translate: Translate
    schema: str = field(default="")
    _reader: Engine = field(init=False, repr=False, compare=False)
    _writer: Engine = field(init=False, repr=False, compare=False)
    _single: Engine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once: SQLAlchemy copies the events of an engine whenever it gets options.
        kinds = {
            "_reader": {AUTOCOMMIT: True},
            "_writer": {WRITES: True},
            "_single": {WRITES: True, AUTOCOMMIT: True},
        }
        for name, options in kinds.items():
            object.__setattr__(self, name, self.engine.execution_options(**options))

    @property
    def is_postgres(self) -> bool:
        """Whether the database is PostgreSQL; else it is SQLite."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that reads. On SQLite, all its queries see the same state.

        On PostgreSQL, each query sees what was committed before it began, and needs no transaction:
        without `BEGIN` and `COMMIT`, it is one round trip instead of three.
        """
        with translated(self.place, self.translate), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read transaction whose queries see the same state, on both databases."""
        with translated(self.place, self.translate), self.engine.begin() as connection:
            if self.is_postgres:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self, *, single: bool = False) -> Iterator[Connection]:
        """A write transaction. It is atomic; on SQLite, it excludes other writers.

        On PostgreSQL, each statement sees what was committed before it began. A `single` statement
        is a transaction of its own there, in one round trip. Raises `RegistryFullError` if the disk
        of an embedded registry has no room for it.
        """
        if isinstance(self.place, Path):
            check_room(self.place)
        writer = self._single if single else self._writer
        with translated(self.place, self.translate), writer.begin() as connection:
            yield connection


@contextmanager
def translated(place: Place, translate: Translate) -> Iterator[None]:
    """Translate errors of the database to errors about the registry."""
    try:
        yield
    except DBAPIError as problem:
        raise translate(place, problem.orig or problem) from problem
    except PoolTimeoutError as problem:  # All connections are in use.
        raise RegistryBusyError(place, holder="other requests") from problem
    except UnicodeEncodeError as problem:
        raise SpecError(f"text that is not Unicode cannot be stored: {problem.reason}") from problem
    except ValueError as problem:
        raise RegistryCorruptError(place, str(problem)) from problem
