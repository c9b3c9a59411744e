"""PostgreSQL: the schema, its constraints and triggers, and a server that is gone."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from services import PostgresServer
from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select
from sqlalchemy.exc import DataError, IntegrityError

from skillpm.errors import RegistryError, UsageError
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.db.engine import Database
from skillpm_registry.db.migrate import alembic_config, migrate
from skillpm_registry.db.open import open_url
from skillpm_registry.errors import RegistryNewerError
from skillpm_registry.refusals import DatabaseUnreachableError, RegistryOutdatedError
from skillpm_registry.tables import metadata, namespace

pytestmark = pytest.mark.services
MakePack = Callable[..., Any]
OBJECTS = """
SELECT tgname || ' ON ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT proname FROM pg_proc WHERE starts_with(proname, 'skillpm')
UNION SELECT table_name || column_name || data_type || is_nullable || coalesce(column_default, '')
  FROM information_schema.columns WHERE table_schema = 'public'
"""


@pytest.fixture
def served(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Backend]:
    url = postgres_server.new_database("migrated")
    places = BackendPlaces(url, str(tmp_path), str(tmp_path / "public"))
    opened = open_backend(places, create=True)
    yield opened
    opened.close()


@pytest.fixture
def acme(served: Backend, now: datetime) -> Backend:
    """A registry with the namespace `acme`."""
    with served.database.writing() as connection:
        connection.execute(insert(namespace).values(name="acme", created_at=now))
    return served


def test_migrations_upgrade_downgrade_and_upgrade(postgres_server: PostgresServer) -> None:
    engine = create_engine(postgres_server.new_database())
    with engine.begin() as connection:
        migrate("test", connection)
        made = set(connection.exec_driver_sql(OBJECTS).scalars())
        command.downgrade(alembic_config(connection), "base")
        tables = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
        assert tables.scalars().all() == ["alembic_version"]
        migrate("test", connection)
        assert set(connection.exec_driver_sql(OBJECTS).scalars()) == made
    engine.dispose()


def test_tables_match_the_migrations(served: Backend) -> None:
    def is_declared(_object: Any, name: str | None, *_more: Any) -> bool:
        return name not in {"word_vector", "ix_search_row_word_vector"}

    options = {"compare_server_default": True, "include_object": is_declared}
    with served.database.reading() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


FORBIDDEN = (
    "UPDATE release SET summary = 'x'",
    "UPDATE release SET digest = digest",
    "DELETE FROM release",
    "TRUNCATE release CASCADE",
    "UPDATE release_blob SET media_type = 't'",
    "DELETE FROM release_blob",
    "TRUNCATE release_blob",
    "UPDATE skill SET name = 'other'",
    "UPDATE blob SET size = 1",
    "UPDATE release_entry SET document = ''",
    "DELETE FROM release_entry",
    "UPDATE log_leaf SET document = ''",
    "DELETE FROM log_leaf",
    "UPDATE event SET subject = ''",
    "DELETE FROM event",
    "DELETE FROM namespace",
    "UPDATE namespace SET name = 'other'",
)


def test_database_refuses_to_change_releases(served: Backend, make_pack: MakePack) -> None:
    _publish(served, make_pack)

    for statement in FORBIDDEN:
        with served.database.engine.connect() as connection, pytest.raises(IntegrityError):
            connection.exec_driver_sql(statement)


INVALID = (
    ("version", "'1.0'"), ("version", "NULL"), ("digest", "'sha256:x'"), ("size", "-1"),
    ("size", "'many'"), ("base_root", "'sha512:x'"), ("summary", "NULL"), ("yanked", "true"),
    ("yanked_at", "now()"), ("yank_reason", "'why'"), ("skill_id", "77"), ("requires", "NULL"),
)  # fmt: skip


def test_database_refuses_an_invalid_release(served: Backend, make_pack: MakePack) -> None:
    _publish(served, make_pack)
    engine = served.database.engine
    valid = {
        each.name: each.name for each in metadata.tables["release"].columns if each.name != "id"
    } | {"version": "'9.0.0'", "digest": "(SELECT max(digest) FROM release_blob)"}

    for column, value in INVALID:
        with engine.connect() as connection, pytest.raises((IntegrityError, DataError)):
            connection.exec_driver_sql(_copy_of_a_release(valid | {column: value}))
    with engine.connect() as connection:
        connection.exec_driver_sql(_copy_of_a_release(valid))


def _copy_of_a_release(values: dict[str, str]) -> str:
    selected = ", ".join(values.values())
    return f"INSERT INTO release ({', '.join(values)}) SELECT {selected} FROM release"  # noqa: S608


def _publish(served: Backend, make_pack: MakePack) -> None:
    with served.database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO namespace (name, created_at) VALUES ('acme', CURRENT_TIMESTAMP)"
        )
    make_pack().publish_to(served)


def test_empty_and_newer_databases_are_refused(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    with pytest.raises(RegistryOutdatedError):
        open_url(url)

    opened = open_url(url, create=True)
    with opened.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0412'")
    with pytest.raises(RegistryNewerError):
        open_url(url)
    opened.engine.dispose()


def test_server_that_is_gone_is_unreachable_until_it_returns(served: Backend) -> None:
    with served.database.reading() as connection:
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    other = create_engine(served.database.engine.url)
    with other.begin() as killer:
        killer.exec_driver_sql(f"SELECT pg_terminate_backend({number})")
    other.dispose()

    with pytest.raises(DatabaseUnreachableError), served.database.reading() as connection:
        connection.exec_driver_sql("SELECT 1")
    with served.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


@pytest.mark.parametrize("use", [Database.reading, Database.writing, Database.snapshot])
def test_every_kind_of_transaction_notices_a_closed_connection(
    served: Backend, use: Callable[[Database], AbstractContextManager[Connection]]
) -> None:
    for other in (served.database.reading, served.database.writing):
        with other() as connection:
            driver = connection.connection.driver_connection
        assert driver is not None
        driver.close()
        with pytest.raises(DatabaseUnreachableError), use(served.database) as connection:
            connection.exec_driver_sql("SELECT 1")
        with use(served.database) as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_snapshot_does_not_see_what_is_committed_meanwhile(served: Backend, now: datetime) -> None:
    count = select(func.count()).select_from(namespace)
    with served.database.snapshot() as before:
        assert before.scalar(count) == 0
        with served.database.writing() as connection:
            connection.execute(insert(namespace).values(name="acme", created_at=now))
        assert before.scalar(count) == 0
    with served.database.reading() as after:
        assert after.scalar(count) == 1


def test_publish_executes_few_statements(acme: Backend, make_pack: MakePack, now: datetime) -> None:
    make_pack(version="1.0.0").publish_to(acme)
    new, next_ = make_pack(skill="acme/new"), make_pack(version="1.1.0")
    for pack, most in ((new, 10), (next_, 13)):
        pack.upload(acme)
        with noted(acme.database.engine) as statements:
            acme.publisher.publish(pack.image, LOCAL, now=now)
        assert len(statements) <= most, statements


def test_no_text_is_sent_in_an_array(acme: Backend, make_pack: MakePack, now: datetime) -> None:
    """psycopg escapes each quote of such a text in Python, while the transaction is open."""
    make_pack(summary='"' * 1000).publish_to(acme)
    sent: list[Any] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        sent.extend(value for row in rows for value in row.values())

    event.listen(acme.database.engine, "before_cursor_execute", note)
    assert acme.sequencer.step(now=now).documents == 1
    event.remove(acme.database.engine, "before_cursor_execute", note)

    arrays = [value for value in sent if isinstance(value, list)]
    assert arrays
    assert all(isinstance(value, int) for array in arrays for value in array)


def test_search_shows_the_higher_of_two_versions_that_are_published_at_once(
    acme: Backend, make_pack: MakePack, now: datetime
) -> None:
    make_pack(version="1.0.0").publish_to(acme)
    lower, higher = make_pack(version="1.1.0"), make_pack(version="1.2.0")
    higher.upload(acme)
    acme.uploads.store(higher.digest, higher.image, "acme", LOCAL, now=now)
    pack = acme.publisher.read(higher.image, LOCAL)
    with ThreadPoolExecutor(1) as publishers:
        with acme.database.writing() as connection:
            acme.changes.publish_in(connection, pack, LOCAL, now=now)
            waiting = publishers.submit(lower.publish_to, acme)
            wait_for_lock(acme.database)
        assert waiting.result().created

    assert [found.version for found in acme.search.find("math", LOCAL)] == ["1.2.0"]


def wait_for_lock(database: Database) -> None:
    """Wait until a transaction waits for the lock of another."""
    for _ in range(600):
        with database.reading() as connection:
            if connection.exec_driver_sql("SELECT 1 FROM pg_locks WHERE NOT granted").first():
                return
        time.sleep(0.05)
    pytest.fail("no transaction waits")


@contextmanager
def noted(engine: Engine) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def test_wrong_address_and_password_are_reported_without_the_password() -> None:
    with pytest.raises(DatabaseUnreachableError) as refused:
        open_url("postgresql+psycopg://me:secret@127.0.0.1:1/nothing")

    assert isinstance(refused.value, RegistryError)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "sqlite:///other.db", "postgresql+psycopg://h:x/y", ""]
)
def test_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        open_url(url)
