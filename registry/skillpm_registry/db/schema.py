"""Opening a catalogue: its schema is checked, and migrated if it is outdated."""

import os
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from skillpm.files.access import RegistryFolder
from skillpm.files.errors import MissingFileError
from skillpm_registry.db.create import is_begun
from skillpm_registry.db.disk import locked, read_errors
from skillpm_registry.db.engine import Database
from skillpm_registry.db.files import BLOBS, FILE, LOG, check_files
from skillpm_registry.db.migrate import migrate
from skillpm_registry.db.shape import check_shape
from skillpm_registry.db.sqlite import IMMUTABLE, READ_WRITE, database
from skillpm_registry.errors import (
    CatalogueMissingError,
    RegistryCorruptError,
    RegistryFullError,
    RegistryNewerError,
    RegistryReadOnlyError,
    RegistryUnfinishedError,
    RegistryUnreachableError,
)

HEAD = "0006"  # The newest migration. Numbers have four digits, so they sort as text.
SHARED_HEAD = "0002"
"""The newest migration that runs by itself. Later ones need `registry upgrade`, because versions of
skillpm before 0.3 cannot read their schema."""
READABLE = "0001"
"""The oldest schema that can be read. Later migrations only add tables and columns."""
_REVISION_LIMIT = 32


def open_database(
    folder: Path, timeout: float, *, upgrade: bool = False, pooled: bool = False
) -> Database:
    """Open the catalogue of the registry in `folder`, and migrate an outdated schema.

    Migrates to the schema that older versions of skillpm can read, or with `upgrade` to the newest.
    Migrating takes the writer lock and waits for it up to `timeout` seconds. Raises
    `RegistryUnreachableError` if there is no registry, and `RegistryNewerError`,
    `RegistryCorruptError` and `CatalogueMissingError` for a catalogue that cannot be used.
    """
    try:
        with read_errors(folder), RegistryFolder.open(folder) as opened:
            catalogue, number = _read(folder, opened)
    except (MissingFileError, RegistryUnreachableError) as problem:
        if isinstance(problem, RegistryUnreachableError) and not _is_nowhere(folder):
            raise
        raise RegistryUnreachableError(
            folder,
            "there is no registry",
            hint=f"`skillpm registry init {folder}` creates a registry",
        ) from problem
    wanted = HEAD if upgrade else SHARED_HEAD
    if number < wanted:
        _update(folder, catalogue, timeout, wanted)
        number = revision(catalogue)
    if pooled:
        catalogue = database(folder, folder / FILE, mode=READ_WRITE, pooled=True)
    return replace(catalogue, schema=number)


def _is_nowhere(folder: Path) -> bool:
    """Whether the nearest existing path, `folder` or one above it, is not a folder."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return not nearest.is_dir()


def _read(folder: Path, opened: RegistryFolder) -> tuple[Database, str]:
    """The catalogue and the number of its schema. Raises `MissingFileError` if there is none."""
    # Check for blobs first: a registry that is being created gets its catalogue before them.
    has_blobs = opened.has(BLOBS)
    if has_blobs and not opened.has(FILE):
        raise CatalogueMissingError(folder)
    opened.open_file(FILE).close()  # SQLite does not report why it cannot open a file.
    check_files(folder, opened)
    try:
        return _readable(folder, opened)
    except RegistryCorruptError as problem:
        if is_begun(opened):
            raise RegistryUnfinishedError(folder) from problem
        raise


def _update(folder: Path, opened: Database, timeout: float, wanted: str) -> None:
    """Migrate a schema. A read-only registry keeps its schema if that can still be read."""
    try:
        with locked(folder, timeout):
            # Another process may have migrated it while this one waited.
            if revision(opened) < wanted:
                with opened.writing() as connection:
                    migrate(folder, connection, wanted)
    except RegistryReadOnlyError:
        if wanted > SHARED_HEAD or revision(opened) < READABLE:
            raise


def _readable(folder: Path, opened: RegistryFolder) -> tuple[Database, str]:
    """The catalogue and the number of its schema, also if the folder is read-only.

    SQLite writes files beside a database even for reading, unless the database is opened as
    immutable. That is only possible if there is no WAL file with changes that the database file
    lacks.
    """
    try:
        number = _check(folder, READ_WRITE)
    except (RegistryReadOnlyError, RegistryUnreachableError, RegistryFullError) as problem:
        log = opened.status(LOG)
        if log is not None and log.st_size:
            if isinstance(problem, RegistryFullError):
                raise
            raise RegistryUnreachableError(
                folder,
                f"it is read-only, and its latest changes are still in `{LOG}`",
                hint="as a user who can write it, run `skillpm search` once: that applies the "
                "changes",
            ) from problem
    else:
        return database(folder, folder / FILE, mode=READ_WRITE), number
    number = _check(folder, IMMUTABLE)
    return database(folder, folder / FILE, mode=IMMUTABLE), number


def _check(folder: Path, mode: str) -> str:
    """Check that a file is a catalogue of skillpm, and return its schema's number."""
    catalogue = database(folder, folder / FILE, mode=mode, known=False)
    number = revision(catalogue)
    if number > HEAD:
        raise RegistryNewerError(folder, found=number, known=HEAD)
    with catalogue.reading() as connection:
        check_shape(folder, connection, number)
    return number


def revision(opened: Database) -> str:
    """The number of the last applied migration; empty if there is none."""
    with opened.reading() as connection:
        count = "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
        if not connection.scalar(text(count)):
            raise RegistryCorruptError(
                opened.place, "it has no schema version (there is no table `alembic_version`)"
            )
        number = connection.scalar(text("SELECT version_num FROM alembic_version LIMIT 1")) or ""
    if not isinstance(number, str) or len(number) > _REVISION_LIMIT:
        raise RegistryCorruptError(opened.place, "its schema version was not written by skillpm")
    return number
