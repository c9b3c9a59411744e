"""The parts of a registry that is served: database, blobs, and what works on them."""

from dataclasses import dataclass
from pathlib import Path

from skillpm_registry.blobs.open import open_blobs, open_tree
from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.blobs.tree import StaticTree
from skillpm_registry.catalog.advisories import Advisories
from skillpm_registry.catalog.changes import ReleaseChanges
from skillpm_registry.catalog.documents import Documents
from skillpm_registry.catalog.events import Events
from skillpm_registry.catalog.queries import Catalog
from skillpm_registry.catalog.search import Search
from skillpm_registry.db.engine import Database
from skillpm_registry.db.files import PUBLIC
from skillpm_registry.db.open import open_url, url_of
from skillpm_registry.publishing.collector import Collector
from skillpm_registry.publishing.filling import fill_in
from skillpm_registry.publishing.publisher import Publisher
from skillpm_registry.publishing.sequencer import Sequencer
from skillpm_registry.publishing.uploads import Uploads


@dataclass(frozen=True, slots=True)
class BackendPlaces:
    """Where the parts of a registry are.

    `database` is `sqlite:///…` or `postgresql+psycopg://…`; `blobs` and `tree` are folders, or
    `s3://bucket/prefix` with the usual `AWS_*` variables.
    """

    database: str
    blobs: str
    tree: str

    @classmethod
    def in_folder(cls, folder: Path) -> "BackendPlaces":
        """The places of the embedded registry in a folder."""
        return cls(url_of(folder), str(folder), str(folder / PUBLIC))


@dataclass(frozen=True, slots=True)
class Backend:
    """A registry's parts. All may be used by several threads.

    `database.reading()` and `database.writing()` give SQLAlchemy connections, for the tables of
    `skillpm_registry.tables.people`. `writing()` is a transaction; `reading()` is none on
    PostgreSQL, where `database.snapshot()` is one.
    """

    database: Database
    blobs: BlobStore
    tree: StaticTree
    catalog: Catalog
    advisories: Advisories
    changes: ReleaseChanges
    documents: Documents
    events: Events
    search: Search
    uploads: Uploads
    publisher: Publisher
    sequencer: Sequencer
    collector: Collector

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.engine.dispose()


def open_backend(places: BackendPlaces, *, create: bool = False, upgrade: bool = False) -> Backend:
    """Open a registry at the newest schema.

    With `create`, missing parts are created; with `upgrade`, an older schema is migrated. Adds what
    older releases lack, if an upgrade was interrupted. Raises `RegistryError`, and
    `RegistryOutdatedError` for an older schema.
    """
    database = open_url(places.database, create=create, upgrade=upgrade)
    try:
        blobs = open_blobs(places.blobs, create=create)
        tree = open_tree(places.tree)
        fill_in(database, blobs)
    except BaseException:
        database.engine.dispose()
        raise
    changes, uploads = ReleaseChanges(database), Uploads(database, blobs)
    return Backend(
        database=database,
        blobs=blobs,
        tree=tree,
        catalog=Catalog(database),
        advisories=Advisories(database),
        changes=changes,
        documents=Documents(database),
        events=Events(database),
        search=Search(database),
        uploads=uploads,
        publisher=Publisher(uploads, changes),
        sequencer=Sequencer(database, tree),
        collector=Collector(database, blobs, tree),
    )
