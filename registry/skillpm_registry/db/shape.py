"""Check that a catalogue has exactly the schema that the migrations create.

A registry's folder may be untrusted, and SQLite runs the code of views, triggers and generated
columns when the database is read. Therefore the schema is checked before any other query.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Row
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import text

from skillpm_registry.errors import RegistryCorruptError
from skillpm_registry.tables import metadata

_VERSIONS = "alembic_version"
_OBJECTS_READ = 200
_COLUMNS_READ = 1000
_SQL_LIMIT = 10_000
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_OTHER_WORDS = (
    "alembic_version version_num alembic_version_pkc pk_alembic_version varchar "
    "in ck_release_yanked_form sqlite_stat1 sqlite_stat4 sqlite_sequence tbl idx stat seq neq nlt "
    "ndlt sample ck_release_quarantined_form ck_principal_is_admin_form ck_namespace_private_form "
    "ck_token_single_use_form ck_publisher_rule_publishes_new_form ck_search_row_private_form "
    "datetime float json"
)
"""Words in the tables of Alembic and SQLite, and in constraints that only migrations create."""
CODE = {
    "": hashlib.sha256().hexdigest(),
    "0001": "4846a1572f5221100f4b19a4a978b7ede6750a97478802ae1571548d40c37f87",
    "0002": "ef0ff77b985a13c03159ace9f2bf742899b022fc5fc28881d3d885725097fff9",
    "0006": "b7ff77019fb40a521518f43e740b82f3d200eee996ce6ab7a7017ad4819f0c33",
}
"""The digest of the SQL of all triggers and named indexes, by revision; see `digest_of_code`."""
_FIRST = "0001"
_FIRST_TABLE = "release"
"""A table that the first migration creates."""
_SEARCH = "search_words"
_SEARCH_SQL = (
    "CREATE VIRTUAL TABLE search_words USING fts5(words, content='search_row', "
    "content_rowid='place', tokenize='unicode61 remove_diacritics 0 tokenchars _', detail='none', "
    "prefix='1 2 3')"
)
"""The only virtual table. SQLite reads it only for a statement that names it."""
_SEARCH_TABLE = "search_row"
"""The table whose rows it indexes."""
_SHADOWS = {
    f"{_SEARCH}_data": "(id INTEGER PRIMARY KEY, block BLOB)",
    f"{_SEARCH}_idx": "(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
    f"{_SEARCH}_docsize": "(id INTEGER PRIMARY KEY, sz BLOB)",
    f"{_SEARCH}_config": "(k PRIMARY KEY, v) WITHOUT ROWID",
}
"""The tables that FTS5 creates for it, with their columns."""


def check_shape(folder: Path, connection: Connection, revision: str) -> None:
    """Raise `RegistryCorruptError` for tables, columns or code that no migration creates.

    Reads a few dozen rows.
    """
    if revision not in CODE:
        raise RegistryCorruptError(folder, f"no version of skillpm has the schema {revision!r}")
    rows = connection.execute(
        text("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT :most"),
        {"most": _OBJECTS_READ},
    ).all()
    if not revision and any(row.name == _FIRST_TABLE for row in rows):
        raise RegistryCorruptError(
            folder, f"it has tables but no schema version (`{_VERSIONS}` is empty)"
        )
    expected = _tables(revision)
    for row in rows:
        _check_kind(folder, row, expected)
    tables = {row.name for row in rows if row.type == "table"}
    virtual = {_SEARCH, *_SHADOWS} if _SEARCH_TABLE in expected else set()
    for name in sorted(virtual - tables):
        raise RegistryCorruptError(folder, f"it has no table `{name}`")
    for name in expected:
        if name not in tables:
            raise RegistryCorruptError(folder, f"it has no table `{name}`")
    _check_columns(folder, connection, expected)
    if digest_of_code(rows) != CODE[revision]:
        raise RegistryCorruptError(folder, "its triggers or indexes are not those of skillpm")


def digest_of_code(rows: Iterable[Row[tuple[str, str, str, str]]]) -> str:
    """The SHA-256 of the triggers and named indexes in rows of `sqlite_schema`, sorted by name.

    Each run of white space in their SQL counts as one space.
    """
    code = sorted(
        f"{row.name} {row.tbl_name} {' '.join(row.sql.split())}"
        for row in rows
        if row.type in ("trigger", "index") and row.sql is not None
    )
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


def _tables(revision: str) -> Mapping[str, tuple[str, ...]]:
    """The columns of each table at a revision."""
    columns = {
        table.name: tuple(
            column.name for column in table.columns if column.info.get("since", _FIRST) <= revision
        )
        for table in metadata.tables.values()
        if table.info.get("since", _FIRST) <= revision
    }
    return {**columns, _VERSIONS: ("version_num",)}


def _is_search(row: Row[tuple[str, str, str, str]]) -> bool:
    """Whether a row of `sqlite_schema` is the table for full-text search, or belongs to it."""
    if row.type != "table":
        return False
    if row.name == _SEARCH:
        return bool(row.sql == _SEARCH_SQL)
    columns = _SHADOWS.get(row.name)
    return columns is not None and bool(row.sql == f"CREATE TABLE '{row.name}'{columns}")


def _check_kind(
    folder: Path,
    row: Row[tuple[str, str, str, str]],
    expected: Mapping[str, tuple[str, ...]],
) -> None:
    if not all(isinstance(value, str | None) for value in row):
        raise RegistryCorruptError(folder, "its schema contains values that are not text")
    if _SEARCH_TABLE in expected and _is_search(row):
        return
    is_known = row.name in expected or row.name.startswith("sqlite_")
    is_plain = row.sql is not None and row.sql[:13].upper() == "CREATE TABLE "
    if row.type == "table" and row.sql is not None and not _has_known_words(row.sql):
        raise RegistryCorruptError(
            folder,
            f"its table `{row.name[:60]}` has expressions that the tables of skillpm do not have",
        )
    if row.type not in ("table", "index", "trigger") or (
        row.type == "table" and not (is_known and is_plain)
    ):
        raise RegistryCorruptError(
            folder, f"it has the {row.type} `{row.name[:60]}`, which skillpm does not create"
        )


def _has_known_words(sql: str) -> bool:
    """Whether the SQL of a table contains only words that occur in skillpm's tables.

    The exact SQL differs between versions of SQLAlchemy. A constraint or default that calls another
    function, or joins text, is untrusted code that would run when a row is written.
    """
    return (
        len(sql) <= _SQL_LIMIT and "||" not in sql and set(_WORD.findall(sql.lower())) <= _words()
    )


@cache
def _words() -> frozenset[str]:
    tables = " ".join(str(CreateTable(table)) for table in metadata.tables.values())
    return frozenset(_WORD.findall(f"{tables} {_OTHER_WORDS}".lower()))


def _check_columns(
    folder: Path, connection: Connection, expected: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise `RegistryCorruptError` unless each table has exactly these columns. One query."""
    rows = connection.execute(
        text(
            "SELECT wanted.value AS of, found.name AS name, found.hidden AS hidden "
            "FROM json_each(:tables) AS wanted, pragma_table_xinfo(wanted.value) AS found "
            "ORDER BY wanted.key, found.cid LIMIT :most"
        ),
        {"tables": json.dumps(sorted(expected)), "most": _COLUMNS_READ},
    ).all()
    columns: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        columns[row.of].append("" if row.hidden else row.name)
    for table, names in expected.items():
        if tuple(columns[table]) != names:
            raise RegistryCorruptError(
                folder, f"the columns of its table `{table}` are not those of skillpm"
            )
