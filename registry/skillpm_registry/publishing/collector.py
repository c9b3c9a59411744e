"""The garbage collector (contract, section 4.4; ADR 53)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.db.engine import Database
from skillpm_registry.publishing.tree import StaticTree

GRACE = timedelta(hours=24)
"""How long a blob without a release is kept, and a static document after it was replaced."""
LEASE = timedelta(minutes=5)
REQUEST = timedelta(seconds=60)
"""The longest time that a request to the store of blobs takes."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep removed. `skipped` is set if another process holds the lease."""

    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    files: int = 0
    skipped: bool = False


class Collector:
    """Removes blobs that no release references, ended uploads and replaced documents."""

    def __init__(self, database: Database, blobs: BlobStore, tree: StaticTree) -> None:
        self.database = database
        self.blobs = blobs
        self.tree = tree

    def sweep(self, *, now: datetime, grace: timedelta = GRACE) -> SweepReport:
        """Collect once, under the lease."""
        raise NotImplementedError
