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
SEPARATORS = r"\n|\s(?=CONSTRAINT )|, (?=[a-z_]+ (?:TEXT|DATETIME|BOOLEAN))"
"""What separates the columns and constraints of a table; added columns are on one line."""
FULL_TEXT = ("search_words", "search_words_")


def is_declared(_object: Any, name: str | None, kind: str, *_more: Any) -> bool:
    """Whether a table or index belongs to the metadata: full-text search does not."""
    return kind != "table" or not str(name).startswith(FULL_TEXT)


COMPARED = {"compare_server_default": True, "include_object": is_declared}


def schema(connection: Connection) -> dict[str, set[str]]:
    """Every table, index and trigger of the schema by name, with its SQL."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
    )
    # The order of constraints, and whether one is at its column, make no difference.
    return {
        name: {part.strip(" \t,") for part in re.split(SEPARATORS, re.sub(r"\)$", "\n)", sql))}
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


def test_tables_match_the_migrations(folder: Path, registry: Registry) -> None:
    with open_database(folder, 1).reading() as connection:
        context = MigrationContext.configure(connection, opts=COMPARED)
        assert compare_metadata(context, metadata) == []


def test_constraints_match_the_migrations(folder: Path, registry: Registry) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as model:
        metadata.create_all(model)
        wanted = schema(model)
    engine.dispose()

    with open_database(folder, 1).reading() as connection:
        made = schema(connection)

    assert {name: made.get(name) for name in wanted} == wanted


def test_head_is_the_newest_migration(registry: Registry) -> None:
    with registry._catalog.database.reading() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))

    assert scripts.get_heads() == [HEAD]
    assert all(len(script.revision) == 4 for script in scripts.walk_revisions())


def test_new_registry_is_durable_and_has_no_other_files(folder: Path) -> None:
    registry = open_registry(folder, create=True)

    assert {path.name for path in folder.iterdir()} == {"registry.db", "registry.lock", "tmp"}
    assert not list((folder / "tmp").iterdir())
    with registry._catalog.database.reading() as connection:
        pragmas = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert values == ["wal", 1, 2, 30_000]


def test_registry_folder_may_have_an_unusual_name(tmp_path: Path, make_pack: MakePack) -> None:
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


def test_creation_keeps_a_registry_that_another_process_created_first(
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


def test_folder_with_other_files_does_not_become_a_registry(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(FolderNotEmptyError):
        open_registry(tmp_path, create=True)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("kind", ["absent", "folder", "file", "inside a file"])
def test_missing_registry_gives_a_hint_to_create_one(tmp_path: Path, kind: str) -> None:
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


def test_file_does_not_become_a_registry(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    path.touch()

    with pytest.raises(RegistryUnreachableError):
        open_registry(path, create=True)


@pytest.mark.parametrize("create", [False, True])
def test_missing_catalogue_is_not_replaced_if_blobs_exist(
    registry: Registry, make_pack: MakePack, folder: Path, *, create: bool
) -> None:
    make_pack().publish(registry)
    (folder / "registry.db").unlink()

    with pytest.raises(CatalogueMissingError, match=r"its catalogue registry\.db is missing"):
        open_registry(folder, create=create)

    assert not (folder / "registry.db").exists()


def test_catalogue_deleted_while_in_use_is_not_recreated(registry: Registry, folder: Path) -> None:
    (folder / "registry.db").unlink()

    with pytest.raises(RegistryUnreachableError):
        registry.skills()

    assert not (folder / "registry.db").exists()


@pytest.mark.parametrize("content", [b"", b"not a database" * 999, b"SQLite format 3\0"])
def test_file_that_is_not_a_catalogue_is_a_corrupt_registry(
    registry: Registry, folder: Path, content: bytes
) -> None:
    (folder / "registry.db").write_bytes(content)

    with pytest.raises(RegistryCorruptError) as refused:
        open_registry(folder)

    assert refused.value.exit_code == 5
    assert "skillpm registry init" in (refused.value.hint or "")


def test_damaged_page_is_a_corrupt_registry(
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


def test_newer_schema_is_named_and_not_changed(registry: Registry, folder: Path) -> None:
    with registry._catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0412'")

    with pytest.raises(RegistryNewerError, match="has schema 0412") as refused:
        open_registry(folder)

    assert "pip install --upgrade" in (refused.value.hint or "")


def test_older_schema_is_migrated(registry: Registry, make_pack: MakePack, folder: Path) -> None:
    with registry._catalog.database.writing() as connection:
        command.downgrade(alembic_config(connection), "base")

    make_pack().publish(open_registry(folder))

    assert len(open_registry(folder).skills()) == 1


def test_unknown_schema_version_is_a_corrupt_registry(registry: Registry, folder: Path) -> None:
    with registry._catalog.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")

    with pytest.raises(RegistryCorruptError):
        open_registry(folder)
