"""Making a catalogue: whole in one rename, or not at all.

It is built in memory and written as one file, so that a full disk or a kill can cut off nothing but
a copy that lies aside.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import StaticPool, create_engine, text

from skillpm.files.access import SHARED, RegistryFolder, is_shared_folder
from skillpm_registry.db.disk import LOCK, TMP, locked, write_errors
from skillpm_registry.db.engine import READ_WRITE, database, translated
from skillpm_registry.db.files import BESIDE, BLOBS, FILE, check_files
from skillpm_registry.db.migrate import migrate
from skillpm_registry.errors import (
    CatalogueMissingError,
    FolderNotEmptyError,
    NotSharedError,
    RegistryCorruptError,
)

_MAGIC = b"SQLite format 3\0"
_WAL = slice(18, 20)
"""The bytes of the header that say how the file is written and read; 2 is for a log beside it."""


def create_database(folder: Path, patience: float, *, shared: bool = False) -> None:
    """Make an empty catalogue in a folder that is absent or empty; keep one that is there.

    One that was never whole, and to which nothing was published, is made again. With `shared`, the
    folder is for its group too, and so is all that is made in it. Raises `FolderNotEmptyError`,
    `CatalogueMissingError`, `RegistryFullError`; `NotSharedError` for a registry that is not.
    """
    with write_errors(folder), RegistryFolder.make(folder) as opened:
        if _is_whole(folder, opened):
            if shared and not is_shared_folder(folder):
                raise NotSharedError(folder)
            return
        if shared:
            opened.allow(SHARED.folder)
        with opened.subfolder(TMP, create=True) as aside, locked(folder, patience):
            # Another process may have been faster while this one waited.
            if not _is_whole(folder, opened):
                _build(folder, opened, aside)


def is_begun(opened: RegistryFolder) -> bool:
    """Whether the catalogue's file may be an unfinished one, and nothing was published.

    Such a file is empty, or full of zeros, or begins as SQLite's do.
    """
    if opened.has(BLOBS):
        return False
    with opened.open_file(FILE) as file:
        head = file.read(len(_MAGIC))
    return head == _MAGIC or not head.strip(b"\0")


def _is_whole(folder: Path, opened: RegistryFolder) -> bool:
    """Whether a catalogue is there that was finished once.

    Raises for a folder that can become no registry, and for a database of another kind.
    """
    names = set(opened.names())
    if FILE not in names and BLOBS in names:
        raise CatalogueMissingError(folder)
    if BLOBS in names:
        return True  # what is published to was whole
    if names - {LOCK, TMP, FILE, *BESIDE}:
        raise FolderNotEmptyError(folder)
    return FILE in names and _is_sound(folder, opened)


def _is_sound(folder: Path, opened: RegistryFolder) -> bool:
    check_files(folder, opened)
    query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    catalogue = database(folder, folder / FILE, mode=READ_WRITE, known=False)
    try:
        with catalogue.reading() as connection:
            tables = set(connection.scalars(text(query)))
            sound = connection.scalar(text("PRAGMA quick_check(1)")) == "ok"
    except RegistryCorruptError:
        if is_begun(opened):
            return False
        raise
    if tables and "alembic_version" not in tables:
        raise RegistryCorruptError(folder, "it is the database of another program")
    return sound and bool(tables)


def _build(folder: Path, opened: RegistryFolder, aside: RegistryFolder) -> None:
    for leftover in aside.names():
        aside.remove_tree(leftover)
    data = _new_catalogue(folder)
    aside.write(FILE, data)
    if aside.read(FILE) != data:
        raise RegistryCorruptError(folder, "the disk does not give back what was written")
    for name in BESIDE:  # of a catalogue that was never whole
        opened.remove(name)
    aside.move(FILE, opened, FILE)
    opened.sync()


def _new_catalogue(folder: Path) -> bytes:
    """The file of an empty catalogue at the current schema, which keeps a log when it is opened."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        engine = create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)
        with translated(folder), engine.begin() as connection:
            migrate(folder, connection)
        data = bytearray(memory.serialize())
    data[_WAL] = b"\2\2"
    return bytes(data)
