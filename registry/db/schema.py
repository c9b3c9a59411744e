"""The catalogue's schema: made and changed by the migrations alone, checked without them."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from registry.db.disk import LOCK, TMP, flush, locked, read_errors, write_errors
from registry.db.engine import Database, database
from registry.db.shape import check_shape
from registry.errors import (
    CatalogueMissingError,
    FolderNotEmptyError,
    RegistryCorruptError,
    RegistryNewerError,
    RegistryReadOnlyError,
    RegistryUnreachableError,
)

if TYPE_CHECKING:
    from alembic.config import Config

FILE = "registry.db"
BLOBS = "blobs"
HEAD = "0002"  # The newest migration; they are numbered with four digits, so text sorts them.
READABLE = "0001"  # Since this one migrations have only added tables, whose absence is borne.
_REVISION_LIMIT = 32
_ROOM = Path(__file__).resolve().parents[1]


def open_database(folder: Path, patience: float) -> Database:
    """The catalogue of the registry in `folder`, at the current schema.

    An older schema is brought up to date first, under the writer lock; a newer one is refused.
    """
    with read_errors(folder):
        # Blobs are looked for first: a registry that is being made gets its catalogue before them.
        has_blobs, has_catalogue = (folder / BLOBS).exists(), (folder / FILE).is_file()
    if not has_catalogue:
        if has_blobs:
            raise CatalogueMissingError(folder)
        raise RegistryUnreachableError(
            folder, "there is no registry", hint=f"make one: `skillpm registry init {folder}`"
        )
    opened, found = _readable(folder)
    if found > HEAD:
        raise RegistryNewerError(folder, found=found, known=HEAD)
    with opened.reading() as connection:
        check_shape(folder, connection, found)
    if found < HEAD:
        _update(folder, opened, patience, since=found)
    return opened


def _update(folder: Path, opened: Database, patience: float, *, since: str) -> None:
    """Bring a schema up to date; where it may only be read, leave it if it can be read so."""
    try:
        with locked(folder, patience), opened.writing() as connection:
            migrate(folder, connection)
    except RegistryReadOnlyError:
        if since < READABLE:
            raise


def _readable(folder: Path) -> tuple[Database, str]:
    """The catalogue and its schema's number, also where we may only read the folder.

    SQLite writes beside a database that it reads, unless told that nobody changes it. That is only
    true while no writer's log lies there, with changes that are not in the file yet.
    """
    opened = database(folder, folder / FILE, mode="mode=rw")
    try:
        return opened, revision(opened)
    except (RegistryReadOnlyError, RegistryUnreachableError) as problem:
        log = folder / f"{FILE}-wal"
        if log.exists() and log.stat().st_size:
            raise RegistryUnreachableError(
                folder,
                "it is read-only, and what was written last is still in its log",
                hint="`skillpm search` once as a user who may write it settles the log",
            ) from problem
    opened = database(folder, folder / FILE, mode="immutable=1")
    return opened, revision(opened)


def revision(opened: Database) -> str:
    """The number of the last migration that was applied; empty before the first."""
    with opened.reading() as connection:
        found = connection.scalar(text("SELECT version_num FROM alembic_version LIMIT 1")) or ""
    if not isinstance(found, str) or len(found) > _REVISION_LIMIT:
        raise RegistryCorruptError(opened.folder, "its schema's number is no number of ours")
    return found


def create_database(folder: Path, patience: float) -> None:
    """Make an empty catalogue in a folder that is absent or empty; keep one that is there.

    It is built aside and renamed into place: a cut-off creation leaves a folder that still counts
    as empty.
    """
    with write_errors(folder):
        names = {each.name for each in folder.iterdir()} if folder.exists() else set()
        if (folder / FILE).exists():
            return
        if BLOBS in names:
            raise CatalogueMissingError(folder)
        if names - {LOCK, TMP}:
            raise FolderNotEmptyError(folder)
        (folder / TMP).mkdir(parents=True, exist_ok=True)
        with locked(folder, patience):
            # Another process may have been faster while this one waited.
            if not (folder / FILE).exists():
                _build(folder, folder / TMP / FILE)


def _build(folder: Path, aside: Path) -> None:
    for leftover in aside.parent.glob(f"{FILE}*"):
        leftover.unlink()
    built = database(folder, aside, mode="mode=rwc")
    with built.writing() as connection:
        migrate(folder, connection)
    flush(aside.parent)
    aside.replace(folder / FILE)
    flush(folder)


def migrate(folder: Path, connection: Connection) -> None:
    """Apply all migrations that are missing, as part of the transaction of `connection`."""
    # Alembic costs a third of a second to import, and only a stale or new catalogue needs it.
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(connection), "head")
    except CommandError as problem:
        raise RegistryCorruptError(folder, str(problem)) from problem


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration: our migrations, run on `connection`."""
    from alembic.config import Config

    # A wheel carries the scripts inside the package; a checkout has them beside it.
    places = (_ROOM / "_migrations", _ROOM.parent / "migrations")
    scripts = next(place for place in places if place.is_dir())
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
