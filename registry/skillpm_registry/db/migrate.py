"""Running the migrations, which create and change the schema."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from skillpm_registry.errors import Place, RegistryCorruptError

if TYPE_CHECKING:
    from alembic.config import Config

_PACKAGE = Path(__file__).resolve().parents[1]


def migrate(place: Place, connection: Connection, revision: str = "head") -> None:
    """Apply the missing migrations up to `revision`, in the transaction of `connection`."""
    # Importing Alembic takes 0.3 s, and only a new or outdated catalogue needs it.
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(connection), revision)
    except CommandError as problem:
        raise RegistryCorruptError(place, str(problem)) from problem


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration for running skillpm's migrations on `connection`."""
    from alembic.config import Config

    # A wheel has the migrations inside the package; a checkout has them beside it.
    places = (_PACKAGE / "_migrations", _PACKAGE.parents[1] / "migrations")
    scripts = next(place for place in places if place.is_dir())
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
