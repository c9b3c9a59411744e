import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skillpm_registry.service import Registry

MakePack = Callable[..., Any]
GOOD = "sha256:" + "0" * 64


@pytest.fixture
def catalogue(registry: Registry, make_pack: MakePack, folder: Path) -> Any:
    """The database itself, with one release and one unreferenced blob."""
    make_pack().publish(registry)
    connection = sqlite3.connect(folder / "registry.db", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("INSERT INTO blob (digest, size) VALUES (?, 0)", [GOOD])
    yield connection
    connection.close()


def another_release(catalogue: sqlite3.Connection, **changes: Any) -> None:
    """Insert a copy of the release under another version and digest, and with `changes`."""
    cursor = catalogue.execute("SELECT * FROM release")
    values = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
    del values["id"]
    values |= {"version": "9.0.0", "digest": GOOD, **changes}
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    statement = f"INSERT INTO release ({names}) VALUES ({marks})"  # noqa: S608 - our own columns
    catalogue.execute(statement, list(values.values()))


def test_valid_row_is_accepted(catalogue: sqlite3.Connection) -> None:
    another_release(catalogue)

    assert catalogue.execute("SELECT count(*) FROM release").fetchone() == (2,)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("skill_id", 77),
        ("skill_id", None),
        ("version", ""),
        ("version", "1.0"),
        ("version", "1.0.0+build"),
        ("version", "1.0.0 "),
        ("version", "1" * 129),
        ("version", "1.0.0"),
        ("version", None),
        ("digest", "sha256:" + "1" * 64),
        ("digest", None),
        ("size", -1),
        ("size", "many"),
        ("size", None),
        ("base_root", "sha256:" + "A" * 64),
        ("base_root", "sha256:" + "a" * 63),
        ("base_root", "sha512:" + "a" * 64),
        ("base_root", "SHA256:" + "a" * 64),
        ("base_root", None),
        ("base_name", None),
        ("architecture", None),
        ("requires", None),
        ("conflicts", None),
        ("capabilities", None),
        ("summary", None),
        ("search_text", None),
        ("scheme", None),
        ("payload_bytes", -1),
        ("payload_bytes", None),
        ("created", None),
        ("published_at", None),
        ("yanked", 2),
        ("yanked", 1),
        ("yanked", None),
        ("yanked_at", "2024-05-17"),
        ("yank_reason", "why not"),
    ],
)
def test_database_refuses_an_invalid_release(
    catalogue: sqlite3.Connection, column: str, value: Any
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        another_release(catalogue, **{column: value})


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("", "x"), ("x", ""), ("x", "a" * 65), ("X", "x"), ("x", "a/b"), ("x", "-a"), ("x", "a."),
     ("x", "a b"), ("x", "é"), (None, "x"), ("x", None), ("acme", "math")],
)  # fmt: skip
def test_database_refuses_an_invalid_skill(
    catalogue: sqlite3.Connection, namespace: Any, name: Any
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        catalogue.execute("INSERT INTO skill (namespace, name) VALUES (?, ?)", [namespace, name])


@pytest.mark.parametrize(
    ("digest", "size"),
    [("sha256:", 1), ("b" * 71, 1), (None, 1), ("sha256:" + "g" * 64, 1),
     ("sha256:" + "b" * 64, -1), ("sha256:" + "b" * 64, None), ("sha256:" + "b" * 64, b"1")],
)  # fmt: skip
def test_database_refuses_an_invalid_blob(
    catalogue: sqlite3.Connection, digest: Any, size: Any
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        catalogue.execute("INSERT INTO blob (digest, size) VALUES (?, ?)", [digest, size])


@pytest.mark.parametrize(
    ("release", "position", "digest", "media_type"),
    [(77, 9, GOOD, "t"), (1, 9, "sha256:" + "1" * 64, "t"), (1, -1, GOOD, "t"), (1, 9, GOOD, None),
     (1, 9, None, "t"), (1, 0, GOOD, "t"), (None, 9, GOOD, "t"), (1, None, GOOD, "t")],
)  # fmt: skip
def test_database_refuses_an_invalid_release_blob(
    catalogue: sqlite3.Connection, release: Any, position: Any, digest: Any, media_type: Any
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        catalogue.execute(
            "INSERT INTO release_blob VALUES (?, ?, ?, ?)", [release, position, digest, media_type]
        )


def test_database_allows_changes_of_the_state_only(catalogue: sqlite3.Connection) -> None:
    columns = [row[1] for row in catalogue.execute("PRAGMA table_info(release)")]
    free = {f"yank{end}" for end in ("ed", "_reason", "ed_at")}
    free |= {f"quarantine{end}" for end in ("d", "_reason", "d_at")}

    for column in set(columns) - free:
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            catalogue.execute(f"UPDATE release SET {column} = {column}")  # noqa: S608 - ours
    catalogue.execute("UPDATE release SET yanked = 1, yank_reason = 'x', yanked_at = '2024-05-17'")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM release",
        "DELETE FROM release_blob",
        "DELETE FROM skill",
        "DELETE FROM blob",
        "UPDATE release_blob SET media_type = 't'",
        "UPDATE skill SET name = 'other'",
        "UPDATE blob SET size = 1",
        "INSERT OR REPLACE INTO release SELECT * FROM release",
        "INSERT OR REPLACE INTO release_blob SELECT 1, 0, max(digest), 't' FROM blob",
        "INSERT OR REPLACE INTO skill SELECT id, namespace, 'other' FROM skill",
        "INSERT OR REPLACE INTO blob (digest, size) SELECT digest, 1 FROM blob",
    ],
)
def test_database_refuses_to_change_releases(catalogue: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        catalogue.execute(statement)


def test_unreferenced_blob_may_be_deleted(catalogue: sqlite3.Connection) -> None:
    catalogue.execute("DELETE FROM blob WHERE digest = ?", [GOOD])

    assert catalogue.execute("SELECT changes()").fetchone() == (1,)
