"""The garbage collector (contract, section 4.4; ADR 53)."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from secrets import token_hex

from sqlalchemy import delete, select

from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.blobs.tree import StaticTree
from skillpm_registry.catalog.documents import Documents
from skillpm_registry.db.engine import Database
from skillpm_registry.publishing.garbage import BATCH, Garbage, Lease, MarkedBlob
from skillpm_registry.publishing.tree import hide_documents
from skillpm_registry.refusals import BlobStoreError
from skillpm_registry.tables import replaced_file, upload

GRACE = timedelta(hours=24)
"""How long a blob without a release is kept, and a static document after it was replaced."""
LEASE = timedelta(minutes=5)
REQUEST = timedelta(seconds=60)
"""The longest time that a request to the store of blobs takes."""
Clock = Callable[[], datetime]
_LOGGER = logging.getLogger(__name__)


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
        self._garbage = Garbage(database)

    def sweep(self, *, now: datetime, grace: timedelta = GRACE) -> SweepReport:
        """Collect once, under the lease.

        First aborts sessions that have ended, then collects marked rows that a killed collector has
        left, rows without a release, and objects without a row.
        """
        lease = Lease(self.database, token_hex(8), LEASE)
        begun = time.monotonic()

        def clock() -> datetime:
            return now + timedelta(seconds=time.monotonic() - begun)

        if not lease.take(clock()):
            return SweepReport(skipped=True)
        try:
            report = SweepReport(
                uploads=self._abort_uploads(now) + self._tidy(now), files=self._remove_files(now)
            )
            for batch in self._batches(clock, grace):
                if not lease.take(clock()):
                    break  # What is marked is taken over later.
                report = self._delete(batch, report, lease, clock)
        finally:
            lease.release()
        return report

    def _batches(self, clock: Clock, grace: timedelta) -> Iterator[list[MarkedBlob]]:
        now = clock()
        while abandoned := self._garbage.abandoned(now - LEASE - REQUEST, clock()):
            yield abandoned
        last = ""
        while marked := self._garbage.mark(last, untouched_since=now - grace, now=clock()):
            last = str(marked[-1].digest)
            yield marked
        old = (found for found in self.blobs.blobs() if found.stored_at <= now - grace)
        while page := list(islice(old, BATCH)):
            yield self._garbage.mark_orphans(page, now=clock())

    def _delete(
        self, batch: list[MarkedBlob], report: SweepReport, lease: Lease, clock: Clock
    ) -> SweepReport:
        """Delete the objects of marked blobs, then their rows, before the lease ends.

        A row whose object could not be deleted stays marked: the request may still arrive. It is
        taken over when that is impossible.
        """
        deleted = list[MarkedBlob]()
        end = clock() + lease.duration - REQUEST
        for found in batch:
            if clock() >= end:
                break
            try:
                self.blobs.delete(found.digest, REQUEST)
            except BlobStoreError as problem:
                _LOGGER.warning("a blob stays marked: %s", problem.message)
                continue
            deleted.append(found)
        self._garbage.forget(deleted)
        return replace(
            report,
            blobs=report.blobs + len(deleted),
            bytes=report.bytes + sum(found.size for found in deleted),
        )

    def _abort_uploads(self, now: datetime) -> int:
        """End sessions whose time is over, and remove bytes that have no session."""
        over = upload.c.expires_at <= now
        with self.database.writing() as connection:
            ended = list(connection.scalars(select(upload.c.id).where(over)))
            connection.execute(delete(upload).where(over))
        stored = list(self.blobs.sessions())
        with self.database.reading() as connection:
            open_ = set(connection.scalars(select(upload.c.id)))
        for session in {*ended, *stored} - open_:
            self.blobs.abort(session)
        return len(ended)

    def _tidy(self, now: datetime) -> int:
        """Remove unfinished objects of processes that were killed a day ago."""
        try:
            return self.blobs.tidy(now - GRACE)
        except BlobStoreError as problem:  # Some servers of S3 do not list unfinished uploads.
            _LOGGER.warning("unfinished objects stay: %s", problem.message)
            return 0

    def _remove_files(self, now: datetime) -> int:
        """Remove documents of the static tree that were replaced a day ago, or became private."""
        old = replaced_file.c.replaced_at <= now - GRACE
        with self.database.writing() as connection:
            paths = list(connection.scalars(select(replaced_file.c.path).where(old)))
            connection.execute(delete(replaced_file).where(old))
        for path in paths:
            self.tree.remove(path)
        private = Documents(self.database).namespaces(private=True)
        return len(paths) + sum(hide_documents(self.tree, name) for name in private)
