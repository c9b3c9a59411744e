"""Creating a catalogue atomically, by one rename.

The catalogue is built in memory and written to a temporary file. If the disk is full or the process
is killed, only the temporary file is incomplete.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import StaticPool, create_engine, text

from skillpm.files.access import SHARED, RegistryFolder, is_shared_folder
from skillpm_registry.db.disk import LOCK, TMP, locked, write_errors
from skillpm_registry.db.engine import translated
from skillpm_registry.db.files import BESIDE, BLOBS, FILE, PUBLIC, UPLOADS, check_files
from skillpm_registry.db.migrate import migrate
from skillpm_registry.db.sqlite import READ_WRITE, database, translation
from skillpm_registry.errors import (
    CatalogueMissingError,
    FolderNotEmptyError,
    NotSharedError,
    RegistryCorruptError,
)

_MAGIC = b"SQLite format 3\0"
_WAL = slice(18, 20)
"""The bytes of SQLite's header with the format's write and read versions. 2 means WAL mode."""


def create_database(folder: Path, timeout: float, *, shared: bool = False) -> None:
    """Create an empty catalogue in a missing or empty folder. An existing catalogue is kept.

    An incomplete catalogue, to which nothing was published, is created again. With `shared`, the
    folder and its files are accessible to the folder's group. Raises `FolderNotEmptyError`,
    `CatalogueMissingError`, `RegistryFullError`, and `NotSharedError` if `shared` is asked of an
    existing registry that is not shared.
    """
    with write_errors(folder), RegistryFolder.make(folder) as opened:
        if _is_whole(folder, opened):
            if shared and not is_shared_folder(folder):
                raise NotSharedError(folder)
            return
        if shared:
            opened.allow(SHARED.folder)
        with opened.subfolder(TMP, create=True) as aside, locked(folder, timeout):
            # Another process may have created the catalogue while this one waited.
            if not _is_whole(folder, opened):
                _build(folder, opened, aside)


def is_begun(opened: RegistryFolder) -> bool:
    """Whether the catalogue's file may be incomplete, and nothing was published.

    Such a file is empty, contains zeros, or begins like a SQLite file.
    """
    if opened.has(BLOBS):
        return False
    with opened.open_file(FILE) as file:
        head = file.read(len(_MAGIC))
    return head == _MAGIC or not head.strip(b"\0")


def _is_whole(folder: Path, opened: RegistryFolder) -> bool:
    """Whether the folder has a complete catalogue.

    Raises `FolderNotEmptyError` and `CatalogueMissingError` for a folder that cannot become a
    registry, and `RegistryCorruptError` for the database of another program.
    """
    names = set(opened.names())
    if FILE not in names and BLOBS in names:
        raise CatalogueMissingError(folder)
    if BLOBS in names:
        return True  # A registry gets blobs only after its catalogue is complete.
    if names - {LOCK, TMP, FILE, *BESIDE, UPLOADS, PUBLIC}:
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
        raise RegistryCorruptError(
            folder, "the data read back from disk differs from what was written"
        )
    for name in BESIDE:  # Left by an incomplete catalogue.
        opened.remove(name)
    aside.move(FILE, opened, FILE)
    opened.sync()


def _new_catalogue(folder: Path) -> bytes:
    """The bytes of an empty catalogue with the current schema, in WAL mode."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        engine = create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)
        with translated(folder, translation), engine.begin() as connection:
            migrate(folder, connection)
        data = bytearray(memory.serialize())
    data[_WAL] = b"\2\2"
    return bytes(data)
