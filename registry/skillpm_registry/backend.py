"""The parts of a registry that is served: database, blobs, and what works on them."""

from dataclasses import dataclass
from datetime import datetime

from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.catalog.advisories import Advisories
from skillpm_registry.catalog.changes import Changes
from skillpm_registry.catalog.documents import Documents
from skillpm_registry.catalog.events import Events
from skillpm_registry.catalog.queries import Catalog
from skillpm_registry.catalog.search import Search
from skillpm_registry.db.engine import Database
from skillpm_registry.publishing.collector import Collector
from skillpm_registry.publishing.publisher import Publisher
from skillpm_registry.publishing.sequencer import Sequencer
from skillpm_registry.publishing.tree import StaticTree
from skillpm_registry.publishing.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Backend:
    """A registry's parts. All may be used by several threads.

    `database.reading()` and `database.writing()` give SQLAlchemy connections in a transaction, for
    the tables of `skillpm_registry.tables.people`.
    """

    database: Database
    blobs: BlobStore
    tree: StaticTree
    catalog: Catalog
    advisories: Advisories
    changes: Changes
    documents: Documents
    events: Events
    search: Search
    uploads: Uploads
    publisher: Publisher
    sequencer: Sequencer
    collector: Collector

    def close(self) -> None:
        """Close the connections to the database."""
        raise NotImplementedError


def open_backend(database: str, blobs: str, tree: str) -> Backend:
    """Open a registry at its newest schema.

    `database` is `sqlite:///…` or `postgresql+psycopg://…`; `blobs` is a folder, or
    `s3://bucket/prefix` with the usual `AWS_*` variables; `tree` is a folder or `s3://…`. An
    embedded registry in FOLDER has `sqlite:///FOLDER/registry.db`, FOLDER, and FOLDER/public.
    Raises `RegistryError`, and `RegistryOutdatedError` for an older schema.
    """
    raise NotImplementedError


def create_backend(database: str, blobs: str, tree: str) -> Backend:
    """Like `open_backend`, and create schema, folders and bucket prefix if they are missing."""
    raise NotImplementedError


def upgrade_backend(database: str, blobs: str, tree: str, *, now: datetime) -> Backend:
    """Migrate to the newest schema and fill in what it adds (`registry upgrade`). Idempotent."""
    raise NotImplementedError
