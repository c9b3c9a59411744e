# ruff: noqa: S608 - the statements stand in this file
"""The database of an untrusted registry: anything besides the schema's own tables is refused."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from skillpm_registry.db import sqlite
from skillpm_registry.db.migrate import alembic_config
from skillpm_registry.db.schema import open_database
from skillpm_registry.db.shape import CODE, digest_of_code
from skillpm_registry.db.sqlite import database
from skillpm_registry.errors import RegistryCorruptError, RegistryReadOnlyError
from skillpm_registry.service import Registry, open_registry

ENDLESS_ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n)"
MakePack = Callable[..., Any]


def execute(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "registry.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("revision", sorted(CODE)[1:])
def test_recorded_schema_digest_matches_the_migrations(tmp_path: Path, revision: str) -> None:
    made = database(tmp_path, tmp_path / "new.db", mode="mode=rwc")
    with made.writing() as connection:
        command.upgrade(alembic_config(connection), revision)
        rows = connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_schema"))
        assert digest_of_code(rows.all()) == CODE[revision]


@pytest.mark.parametrize("statements", [
    (f"CREATE VIEW more AS {ENDLESS_ROWS} SELECT i FROM n",),
    ("ALTER TABLE skill RENAME TO skill2",
     f"CREATE VIEW skill AS {ENDLESS_ROWS} SELECT skill2.* FROM skill2, n WHERE n.i < 0"),
    ("ALTER TABLE alembic_version RENAME TO old",
     (f"CREATE VIEW alembic_version AS {ENDLESS_ROWS} "
      "SELECT '0002' AS version_num FROM n WHERE i < 0")),
    ("CREATE TRIGGER mine AFTER INSERT ON skill BEGIN SELECT 1; END",),
    ("DROP TRIGGER skill_stays",),
    ("DROP TRIGGER skill_stays",
     "CREATE TRIGGER skill_stays BEFORE UPDATE ON skill BEGIN SELECT 1; END"),
    ("CREATE TABLE more (x)",), ("CREATE VIRTUAL TABLE more USING fts5(x)",),
    ("CREATE INDEX more ON skill (abs(id))",),
    ("ALTER TABLE skill ADD COLUMN bomb AS (hex(zeroblob(1000000000)))",),
    ("ALTER TABLE skill ADD COLUMN more TEXT",), ("DROP TABLE advisory",),
    ("UPDATE alembic_version SET version_num = ''",),
    ("UPDATE alembic_version SET version_num = '0000'",),
    ("UPDATE alembic_version SET version_num = '0001'",),
    ("UPDATE alembic_version SET version_num = x'00'",),
    ("UPDATE alembic_version SET version_num = printf('%.100000c', '0')",),
])  # fmt: skip
def test_schema_that_no_migration_makes_is_refused(
    folder: Path, registry: Registry, statements: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "STEPS", 2_000_000)
    execute(folder, *statements)
    start = time.process_time()
    with pytest.raises(RegistryCorruptError):
        open_registry(folder)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("check", [
    "CHECK (length(hex(zeroblob(60000000))) > 0)", "CHECK (summary || summary != '')",
    "CHECK (summary NOT LIKE '%a%b%c%')", "DEFAULT (randomblob(100000000))",
])  # fmt: skip
def test_unknown_constraint_is_refused(folder: Path, registry: Registry, check: str) -> None:
    execute(
        folder,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'summary TEXT', 'summary TEXT "
        + check.replace("'", "''") + "') WHERE name = 'release'",
        "PRAGMA writable_schema = RESET",
    )  # fmt: skip
    with pytest.raises(RegistryCorruptError):
        open_registry(folder)


def test_statistics_tables_are_accepted(folder: Path, registry: Registry) -> None:
    execute(folder, "ANALYZE")
    assert open_registry(folder).search("x") == []


def test_endless_query_is_interrupted(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "STEPS", 2_000_000)
    opened = open_database(folder, 1)
    with (
        pytest.raises(RegistryCorruptError, match="more than 2000000 steps"),
        opened.reading() as connection,
    ):
        connection.execute(text(f"{ENDLESS_ROWS} SELECT count(*) FROM n")).all()


@pytest.mark.parametrize("damage", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
def test_catalogue_without_a_schema_version_is_reported(
    folder: Path, registry: Registry, damage: str
) -> None:
    with sqlite3.connect(folder / "registry.db") as catalogue:
        catalogue.execute(damage)
    (folder / "blobs").mkdir(exist_ok=True)
    with pytest.raises(RegistryCorruptError, match="no schema version"):
        open_database(folder, 1)


def test_reader_cannot_write(folder: Path, registry: Registry) -> None:
    opened = open_database(folder, 1)
    with pytest.raises(RegistryReadOnlyError), opened.reading() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")


@pytest.mark.parametrize(("column", "value"), [
    ("size", "x'ff'"), ("size", "'many'"), ("size", "-1"), ("size", "1.5"),
    ("summary", "x'ff'"), ("summary", "CAST(x'ff' AS TEXT)"),
    ("requires", "'{}'"), ("requires", "'5'"), ("requires", "'[5]'"), ("requires", "'[null]'"),
    ("requires", "'\"acme/x\"'"), ("requires", "'['"), ("requires", "x'5b5d'"),
    ("requires", "replace(printf('%.2000c', '['), 'x', '')"), ("conflicts", "'[\"X\"]'"),
    ("requires", "'[' || printf('%.5000c', '9') || ']'"), ("version", "'1'"), ("version", "7"),
    ("digest", "'x'"), ("base_root", "x'00'"), ("created", "x'00'"),
    ("payload_bytes", "'x'"),
    ("summary", "CAST(zeroblob(130000000) AS TEXT)"),
])  # fmt: skip
def test_values_that_no_publisher_writes_are_a_corrupt_registry(
    folder: Path, registry: Registry, make_pack: MakePack, column: str, value: str
) -> None:
    pack = make_pack()
    pack.publish(registry)
    connection = sqlite3.connect(folder / "registry.db", isolation_level=None)
    triggers = [row[0] for row in connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'release'"
    )]  # fmt: skip
    connection.execute("PRAGMA ignore_check_constraints = ON")
    kept = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'release'"
    ).fetchall()
    for trigger in triggers:
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(f"UPDATE release SET {column} = {value}")
    for (sql,) in kept:
        connection.execute(sql)
    connection.close()
    opened = open_registry(folder)
    with pytest.raises(RegistryCorruptError):
        opened.releases([pack.manifest.skill])
