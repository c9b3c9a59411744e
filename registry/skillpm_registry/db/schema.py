"""The catalogue's schema: checked without the migrations, and brought up to date by them."""

import os
from pathlib import Path

from sqlalchemy import text

from skillpm.files.access import RegistryFolder
from skillpm.files.errors import MissingFileError
from skillpm_registry.db.create import is_begun
from skillpm_registry.db.disk import locked, read_errors
from skillpm_registry.db.engine import IMMUTABLE, READ_WRITE, Database, database
from skillpm_registry.db.files import BLOBS, FILE, LOG, check_files
from skillpm_registry.db.migrate import migrate
from skillpm_registry.db.shape import check_shape
from skillpm_registry.errors import (
    CatalogueMissingError,
    RegistryCorruptError,
    RegistryFullError,
    RegistryNewerError,
    RegistryReadOnlyError,
    RegistryUnfinishedError,
    RegistryUnreachableError,
)

HEAD = "0002"  # The newest migration; they are numbered with four digits, so text sorts them.
READABLE = "0001"  # Since this one migrations have only added tables, whose absence is borne.
_REVISION_LIMIT = 32


def open_database(folder: Path, patience: float) -> Database:
    """The catalogue of the registry in `folder`, at the current schema.

    An older schema is brought up to date first, under the writer lock; a newer one is refused.
    """
    try:
        with read_errors(folder), RegistryFolder.open(folder) as opened:
            catalogue, found = _read(folder, opened)
    except (MissingFileError, RegistryUnreachableError) as problem:
        if isinstance(problem, RegistryUnreachableError) and not _is_nowhere(folder):
            raise
        raise RegistryUnreachableError(
            folder, "there is no registry", hint=f"make one: `skillpm registry init {folder}`"
        ) from problem
    if found < HEAD:
        _update(folder, catalogue, patience, since=found)
    return catalogue


def _is_nowhere(folder: Path) -> bool:
    """Whether a file lies where the folder, or one above it, should be."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    return not nearest.is_dir()


def _read(folder: Path, opened: RegistryFolder) -> tuple[Database, str]:
    """The catalogue and its schema's number. Raises `MissingFileError` where there is none."""
    # Blobs are looked for first: a registry that is being made gets its catalogue before them.
    has_blobs = opened.has(BLOBS)
    if has_blobs and not opened.has(FILE):
        raise CatalogueMissingError(folder)
    opened.open_file(FILE).close()  # SQLite does not say why it cannot open a file
    check_files(folder, opened)
    try:
        return _readable(folder, opened)
    except RegistryCorruptError as problem:
        if is_begun(opened):
            raise RegistryUnfinishedError(folder) from problem
        raise


def _update(folder: Path, opened: Database, patience: float, *, since: str) -> None:
    """Bring a schema up to date; where it may only be read, leave it if it can be read so."""
    try:
        with locked(folder, patience), opened.writing() as connection:
            migrate(folder, connection)
    except RegistryReadOnlyError:
        if since < READABLE:
            raise


def _readable(folder: Path, opened: RegistryFolder) -> tuple[Database, str]:
    """The catalogue and its schema's number, also where we can only read the folder.

    SQLite writes beside a database that it reads, unless it may take it for unchanging. That is
    only true while no writer's log lies there, with changes that are not in the file yet.
    """
    try:
        found = _checked(folder, READ_WRITE)
    except (RegistryReadOnlyError, RegistryUnreachableError, RegistryFullError) as problem:
        log = opened.status(LOG)
        if log is not None and log.st_size:
            if isinstance(problem, RegistryFullError):
                raise
            raise RegistryUnreachableError(
                folder,
                "it is read-only, and what was written last is still in its log",
                hint="`skillpm search` once as a user who may write it settles the log",
            ) from problem
    else:
        return database(folder, folder / FILE, mode=READ_WRITE), found
    found = _checked(folder, IMMUTABLE)
    return database(folder, folder / FILE, mode=IMMUTABLE), found


def _checked(folder: Path, mode: str) -> str:
    """The schema's number of a catalogue of skillpm's shape; the file stays as it is."""
    catalogue = database(folder, folder / FILE, mode=mode, known=False)
    found = revision(catalogue)
    if found > HEAD:
        raise RegistryNewerError(folder, found=found, known=HEAD)
    with catalogue.reading() as connection:
        check_shape(folder, connection, found)
    return found


def revision(opened: Database) -> str:
    """The number of the last migration that was applied; empty before the first."""
    with opened.reading() as connection:
        kept = "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
        if not connection.scalar(text(kept)):
            raise RegistryCorruptError(
                opened.folder, "it has no schema version (there is no table `alembic_version`)"
            )
        found = connection.scalar(text("SELECT version_num FROM alembic_version LIMIT 1")) or ""
    if not isinstance(found, str) or len(found) > _REVISION_LIMIT:
        raise RegistryCorruptError(
            opened.folder, "the number of its schema has a form that skillpm does not write"
        )
    return found
