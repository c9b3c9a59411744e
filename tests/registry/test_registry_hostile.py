"""An untrusted registry folder: nothing outside of it is read, written or removed."""

import os
import shutil
import socket
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hostile_files
import pytest
from hostile_files import broken_link, huge, link_to_file, link_to_folder, pipe

from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.errors import RegistryCorruptError, RegistryUnreachableError
from skillpm_registry.service import Registry, open_registry, tidy_registry

MakePack = Callable[..., Any]
NOW = datetime(2024, 5, 17, tzinfo=UTC)
PLACES = (
    "registry.db", "registry.db-wal", "registry.db-shm", "registry.db-journal", "registry.lock",
    "tmp", "blobs", "blobs/sha256", "blobs/sha256/XX", "blobs/sha256/XX/BLOB",
)  # fmt: skip


def _to_database(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "registry.db")


def _socket(place: Path, _outside: Path) -> None:
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(place.parent)  # a socket's path has at most 107 bytes
        listening.bind(place.name)
        os.chdir(here)


PLANTS = (
    link_to_file, link_to_folder, _to_database, broken_link, pipe, _socket, hostile_files.folder,
    huge,
)  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Files of the user: a text, a folder, and another database."""
    place = tmp_path / "outside"
    (place / "photos").mkdir(parents=True)
    (place / "thesis.txt").write_text("years of work")
    (place / "photos" / "cat").write_text("a cat")
    with closing(sqlite3.connect(place / "registry.db")) as other:
        other.execute("CREATE TABLE secrets (word)")
        other.execute("INSERT INTO secrets VALUES ('open sesame')")
        other.commit()
    return place


def _state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mtime_ns, status.st_ino, data)
    return found


def _use(folder: Path, pack: Any) -> list[SkillpmError]:
    """Run every operation of a registry; return the expected errors."""
    problems = []

    def read_all(registry: Registry) -> None:
        for release in registry.search(""):
            assert release.digest is not None
            with registry.open_blob(release.digest) as source:
                source.read(1 << 20)

    name, version = SkillName("acme", "math"), Version.parse("1.0.0")
    steps: tuple[Callable[[], object], ...] = (
        lambda: tidy_registry(folder),
        lambda: read_all(open_registry(folder, timeout=0.2)),
        lambda: open_registry(folder, timeout=0.2).yank(name, version, reason="x", now=NOW),
        lambda: open_registry(folder, create=True, timeout=0.2),
        lambda: pack.publish(open_registry(folder, create=True, timeout=0.2)),
    )
    for step in steps:
        try:
            step()
        except SkillpmError as problem:
            problems.append(problem)
    return problems


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_outside_of_a_hostile_registry_is_touched(
    registry: Registry,
    make_pack: MakePack,
    folder: Path,
    outside: Path,
    place: str,
    plant: Callable[[Path, Path], None],
) -> None:
    pack = make_pack()
    pack.publish(registry)
    blob = pack.digest.hex
    path = folder / place.replace("XX", blob[:2]).replace("BLOB", blob)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    plant(path, outside)
    before = _state(outside)

    for problem in _use(folder, pack):
        assert problem.exit_code in (1, 3, 5)

    assert _state(outside) == before


def test_link_in_place_of_the_staging_folder_is_not_followed(
    registry: Registry, folder: Path, outside: Path
) -> None:
    (folder / "tmp").rmdir()
    (folder / "tmp").symlink_to(outside)
    with suppress(SkillpmError):
        tidy_registry(folder)
    with pytest.raises(RegistryUnreachableError, match="is a symbolic link"):
        registry._blobs.sweep()
    assert (outside / "photos" / "cat").exists()


def _hot_journal(database: Path, named: Path) -> bytes:
    """A rollback journal that SQLite replays, whose super-journal is the file `named`."""
    pages = database.stat().st_size // 4096
    name = os.fsencode(named)
    magic = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
    header = magic + struct.pack(">IIIII", 0, 0, pages, 512, 4096)
    end = struct.pack(">I", 4096 * 262_144 // 4096 + 1) + name
    end += struct.pack(">II", len(name), sum(name)) + magic
    return header.ljust(512, b"\0") + end


def _rollback_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def test_journal_that_names_a_file_of_the_user_removes_nothing(
    registry: Registry, make_pack: MakePack, folder: Path, outside: Path
) -> None:
    pack = make_pack()
    pack.publish(registry)
    _rollback_database(folder / "registry.db")
    thesis = outside / "thesis.txt"
    journal = _hot_journal(folder / "registry.db", thesis)
    (folder / "registry.db-journal").write_bytes(journal)
    twin = outside.parent / "twin"
    shutil.copytree(folder, twin)
    decoy = outside.parent / "decoy"
    decoy.write_text("no journal of anything")
    (twin / "registry.db-journal").write_bytes(_hot_journal(twin / "registry.db", decoy))
    with closing(sqlite3.connect(twin / "registry.db")) as naive:
        naive.execute("SELECT * FROM skill").fetchall()
    assert not decoy.exists(), "SQLite itself obeys such a journal"

    problems = _use(folder, pack)

    assert thesis.read_text() == "years of work"
    assert any("registry.db-journal" in problem.message for problem in problems)


@pytest.mark.parametrize("kind", ["text", "another program's"])
def test_file_that_is_not_a_catalogue_is_never_replaced(folder: Path, kind: str) -> None:
    folder.mkdir()
    path = folder / "registry.db"
    if kind == "text":
        path.write_text("registered: everybody")
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE people (name)")
            other.commit()
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(RegistryCorruptError):
            open_registry(folder, create=create)
    assert path.read_bytes() == before


def test_publish_replaces_a_folder_in_the_place_of_a_blob(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    pack = make_pack()
    pack.publish(registry)
    path = next((folder / "blobs").rglob(pack.digest.hex))
    path.unlink()
    (path / "below").mkdir(parents=True)
    pack.publish(registry)
    with registry.open_blob(pack.digest) as source:
        assert Digest.of(source.read()) == pack.digest
