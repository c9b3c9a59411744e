import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from skillpm_registry.db.disk import locked
from skillpm_registry.db.migrate import alembic_config, migrate
from skillpm_registry.db.schema import HEAD, open_database
from skillpm_registry.errors import (
    CatalogueMissingError,
    FolderNotEmptyError,
    RegistryCorruptError,
    RegistryNewerError,
    RegistryUnreachableError,
)
from skillpm_registry.service import Registry, open_registry
from skillpm_registry.tables import metadata

MakePack = Callable[..., Any]


def schema(connection: Connection) -> dict[str, set[str]]:
    """Every table, index and trigger of the schema by name, with its SQL."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
    )
    # The order of constraints, and whether one is at its column, make no difference.
    return {
        name: {part.strip(" \t,") for part in re.split(r"\n|\s(?=CONSTRAINT )", sql)}
        for name, sql in rows.all()
    }


def test_migrations_upgrade_downgrade_and_upgrade(folder: Path, registry: Registry) -> None:
    database = open_database(folder, 1)
    with database.writing() as connection:
        made = schema(connection)
        command.downgrade(alembic_config(connection), "base")
        assert schema(connection) == {}
        migrate(folder, connection)
        assert schema(connection) == made


def test_the_tables_are_those_that_the_migrations_make(folder: Path, registry: Registry) -> None:
    with open_database(folder, 1).reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_constraints_equal_those_of_the_migrations(folder: Path, registry: Registry) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as model:
        metadata.create_all(model)
        wanted = schema(model)
    engine.dispose()

    with open_database(folder, 1).reading() as connection:
        made = schema(connection)

    assert {name: made.get(name) for name in wanted} == wanted


def test_the_checked_migration_is_the_newest(registry: Registry) -> None:
    with registry._catalog.database.reading() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))

    assert scripts.get_heads() == [HEAD]
    assert all(len(script.revision) == 4 for script in scripts.walk_revisions())


def test_a_database_of_another_kind_has_no_triggers_yet() -> None:
    # PostgreSQL will get its own migration; until then it is refused.
    migration = ScriptDirectory(str(Path(__file__).parents[2] / "migrations")).get_revision("0001")
    assert migration is not None

    assert set(migration.module.TRIGGERS) == {"sqlite"}


def test_a_new_registry_is_durable_and_holds_only_its_own(folder: Path) -> None:
    registry = open_registry(folder, create=True)

    assert {path.name for path in folder.iterdir()} == {"registry.db", "registry.lock", "tmp"}
    assert not list((folder / "tmp").iterdir())
    with registry._catalog.database.reading() as connection:
        pragmas = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert values == ["wal", 1, 2, 30_000]


def test_a_registry_folder_may_have_an_unusual_name(tmp_path: Path, make_pack: MakePack) -> None:
    folder = tmp_path / "new ones" / "50% #1?mode=ro"

    make_pack().publish(open_registry(folder, create=True))

    assert len(open_registry(folder).skills()) == 1


def test_creating_an_existing_registry_keeps_it(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    make_pack().publish(registry)

    assert len(open_registry(folder, create=True).skills()) == 1


def test_remains_of_an_interrupted_creation_count_as_empty(folder: Path) -> None:
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / "registry.db").write_bytes(b"half")
    (folder / "tmp" / "registry.db-wal").write_bytes(b"half")
    (folder / "registry.lock").touch()

    assert open_registry(folder, create=True).skills() == []
    assert not list((folder / "tmp").iterdir())


def test_a_creation_that_was_overtaken_keeps_the_faster_one(
    registry: Registry, make_pack: MakePack, folder: Path, tmp_path: Path
) -> None:
    make_pack().publish(registry)
    slow = tmp_path / "slow"
    slow.mkdir()
    creation = threading.Thread(target=lambda: open_registry(slow, create=True))
    with locked(slow, 1):
        creation.start()
        while creation.is_alive() and not (slow / "tmp").exists():
            pass  # It has found the folder empty only when it has made this.
        shutil.copy(folder / "registry.db", slow)
    creation.join()

    assert len(open_registry(slow).skills()) == 1


def test_a_folder_with_foreign_files_does_not_become_a_registry(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(FolderNotEmptyError):
        open_registry(tmp_path, create=True)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("kind", ["absent", "folder", "file", "inside a file"])
def test_without_a_registry_the_hint_creates_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "registry"
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.touch()
    if kind == "inside a file":
        path /= "registry"

    with pytest.raises(RegistryUnreachableError) as refused:
        open_registry(path)

    assert refused.value.exit_code == 5
    assert refused.value.hint == f"`skillpm registry init {path}` creates a registry"


def test_a_file_does_not_become_a_registry(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    path.touch()

    with pytest.raises(RegistryUnreachableError):
        open_registry(path, create=True)


@pytest.mark.parametrize("create", [False, True])
def test_no_empty_catalogue_is_put_over_existing_blobs(
    registry: Registry, make_pack: MakePack, folder: Path, *, create: bool
) -> None:
    make_pack().publish(registry)
    (folder / "registry.db").unlink()

    with pytest.raises(CatalogueMissingError, match=r"its catalogue registry\.db is missing"):
        open_registry(folder, create=create)

    assert not (folder / "registry.db").exists()


def test_a_catalogue_deleted_while_in_use_is_not_recreated(
    registry: Registry, folder: Path
) -> None:
    (folder / "registry.db").unlink()

    with pytest.raises(RegistryUnreachableError):
        registry.skills()

    assert not (folder / "registry.db").exists()


@pytest.mark.parametrize("content", [b"", b"not a database" * 999, b"SQLite format 3\0"])
def test_a_file_that_is_not_a_catalogue_is_called_corrupt(
    registry: Registry, folder: Path, content: bytes
) -> None:
    (folder / "registry.db").write_bytes(content)

    with pytest.raises(RegistryCorruptError) as refused:
        open_registry(folder)

    assert refused.value.exit_code == 5
    assert "skillpm registry init" in (refused.value.hint or "")


def test_a_page_that_is_damaged_is_called_corrupt_when_it_is_read(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    for number in range(20):
        make_pack(version=f"1.{number}.0", summary="long " * 500).publish(registry)
    file = folder / "registry.db"
    with sqlite3.connect(file) as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'release'"
        ).fetchone()[0]
    connection.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    file.write_bytes(content)

    damaged = open_registry(folder)
    with pytest.raises(RegistryCorruptError):
        damaged.search("")


def test_a_schema_of_a_newer_skillpm_is_named_and_not_changed(
    registry: Registry, folder: Path
) -> None:
    with registry._catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0412'")

    with pytest.raises(RegistryNewerError, match="has schema 0412") as refused:
        open_registry(folder)

    assert "pip install --upgrade" in (refused.value.hint or "")


def test_an_older_schema_is_brought_up_to_date(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    with registry._catalog.database.writing() as connection:
        command.downgrade(alembic_config(connection), "base")

    make_pack().publish(open_registry(folder))

    assert len(open_registry(folder).skills()) == 1


def test_a_schema_number_that_no_skillpm_wrote_is_called_corrupt(
    registry: Registry, folder: Path
) -> None:
    with registry._catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")

    with pytest.raises(RegistryCorruptError):
        open_registry(folder)
