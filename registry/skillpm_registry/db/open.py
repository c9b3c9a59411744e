"""Opening the database of a registry by its URL."""

from pathlib import Path

from skillpm.errors import UsageError
from skillpm_registry.db.create import create_database
from skillpm_registry.db.engine import Database
from skillpm_registry.db.files import FILE
from skillpm_registry.db.schema import HEAD, open_database
from skillpm_registry.refusals import RegistryOutdatedError, ServerLibraryError

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql+psycopg://", "postgresql://")
_TIMEOUT = 600.0


def open_url(url: str, *, create: bool = False, upgrade: bool = False) -> Database:
    """Open the database at `sqlite:///FOLDER/registry.db` or `postgresql+psycopg://…`.

    Connections stay open between transactions. With `create`, an empty database gets the schema;
    with `upgrade`, an older schema is migrated. Raises `RegistryOutdatedError` and the errors of
    `open_database`.
    """
    if url.startswith(_POSTGRES):
        try:
            from skillpm_registry.db import postgres
        except ImportError as problem:
            raise ServerLibraryError("psycopg", "server") from problem
        url = _POSTGRES[0] + url.partition("://")[2]
        if upgrade or (create and postgres.is_empty(url)):
            postgres.migrate_postgres(url)
        return postgres.open_postgres(url, head=HEAD)
    folder = _folder_of(url)
    if create:
        create_database(folder, _TIMEOUT)
    opened = open_database(folder, _TIMEOUT, upgrade=upgrade, pooled=True)
    if opened.schema < HEAD:
        raise RegistryOutdatedError(str(folder), found=opened.schema, needed=HEAD)
    return opened


def _folder_of(url: str) -> Path:
    path = Path(url.removeprefix(_SQLITE)).absolute()
    if not url.startswith(_SQLITE) or path.name != FILE:
        raise UsageError(
            f"`{url.partition('@')[2] or url}` is not the URL of a registry's database",
            hint=f"write it like `sqlite:///FOLDER/{FILE}` or `postgresql+psycopg://HOST/DATABASE`",
        )
    return path.parent


def url_of(folder: Path) -> str:
    """The URL of the database of an embedded registry."""
    return f"{_SQLITE}{folder.absolute() / FILE}"
