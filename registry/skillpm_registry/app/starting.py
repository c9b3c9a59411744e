"""Opening a registry to serve or to administer it, and its first administrator."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from skillpm.spec.registry_people import ACTIONS, NewToken
from skillpm_registry.app.access.issue import TokenRights, issue
from skillpm_registry.app.config import ServerConfig, embedded_config, read_config
from skillpm_registry.app.endpoints.tokens import new_token
from skillpm_registry.app.service import People, now_in_utc
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.db.files import FILE

ADMINISTRATOR = "admin"
LIFETIME = timedelta(days=90)


@dataclass(frozen=True)
class ServedPlace:
    """The registry of a configuration, or an embedded one in a folder."""

    config: ServerConfig
    folder: Path | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether there is no configuration: the registry is in a folder of this machine."""
        return self.folder is not None

    @property
    def parts(self) -> BackendPlaces:
        """Where database, blobs and static documents are."""
        return BackendPlaces(self.config.database, self.config.blobs, self.config.static)

    def open(self) -> Backend:
        """Open the registry; an embedded one that does not exist is created."""
        is_new = self.folder is not None and not (self.folder / FILE).exists()
        return open_backend(self.parts, create=is_new)

    def open_existing(self) -> Backend:
        """Open the registry. Raises `RegistryError` if it does not exist."""
        return open_backend(self.parts)

    def create(self) -> Backend:
        """Open the registry, and create what is missing of it."""
        return open_backend(self.parts, create=True)

    def upgrade(self) -> Backend:
        """Open the registry, after migrating it to the newest schema."""
        return open_backend(self.parts, upgrade=True)


def place_of(
    file: Path | None, environment: Mapping[str, str], folder: Path | None, url: str
) -> ServedPlace | None:
    """The registry that a file or variables configure, else the one embedded in `folder`.

    `url` is the URL of an embedded registry. None if there is neither configuration nor folder.
    """
    config = read_config(file, environment)
    if config is not None:
        return ServedPlace(config)
    return None if folder is None else ServedPlace(embedded_config(folder, url), folder)


def first_administrator(people: People, name: str = ADMINISTRATOR) -> NewToken | None:
    """A token for an administrator. None if one has a valid token already."""
    now = now_in_utc()
    if people.principals.has_administrator_token(now):
        return None
    people.principals.make_administrator(name, LOCAL, now=now)
    wanted = TokenRights(name, ACTIONS, ("*",), LIFETIME, "first administrator")
    return new_token(*issue(people.tokens, wanted, LOCAL, now=now))
