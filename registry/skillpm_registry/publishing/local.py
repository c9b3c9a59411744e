"""Publishing into a registry in a folder, by any number of processes at once (ADR 53)."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select

from skillpm.spec.digests import Digest
from skillpm_registry.blobs.folder import Blobs
from skillpm_registry.blobs.protocol import OpenBlob
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.catalog.changes import ReleaseChanges
from skillpm_registry.catalog.queries import Catalog
from skillpm_registry.catalog.rows import STATES_SINCE, PackRow
from skillpm_registry.db.disk import is_network_folder, locked
from skillpm_registry.errors import RegistryBusyError, ReleaseExistsError
from skillpm_registry.publishing.sessions import open_sessions, settle
from skillpm_registry.refusals import BlobBusyError
from skillpm_registry.tables import DELETING, blob, upload

_LIFETIME = timedelta(days=1)
"""How long the blobs of a killed publisher are kept."""
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class LocalPublisher:
    """Publishes packs into the registry in `folder`.

    A registry with an old schema is also written by older versions of skillpm, which remove the
    unfinished files of others under the exclusive lock; there, and on network file systems,
    publishers hold that lock.
    """

    folder: Path
    catalog: Catalog
    blobs: Blobs
    timeout: float

    def publish(self, pack: PackRow, open_blob: OpenBlob, *, now: datetime) -> bool:
        """Publish a pack. False if the same digest was published before."""
        has_states = self.catalog.database.schema >= STATES_SINCE
        if not has_states or is_network_folder(self.folder):
            with locked(self.folder, self.timeout):
                self.blobs.sweep()
                if has_states:
                    return self._publish(pack, open_blob, now)
                return self._publish_alone(pack, open_blob, now)
        with suppress(RegistryBusyError), locked(self.folder, 0):
            self.blobs.sweep()
        with locked(self.folder, self.timeout, shared=True):
            return self._publish(pack, open_blob, now)

    def _publish_alone(self, pack: PackRow, open_blob: OpenBlob, now: datetime) -> bool:
        """Publish a pack into a registry with an old schema, under its exclusive lock."""
        is_known = self._is_known(pack)
        self.blobs.add(pack.sizes, open_blob)
        if not is_known:
            self.catalog.add(pack, now=now)
        return not is_known

    def _publish(self, pack: PackRow, open_blob: OpenBlob, now: datetime) -> bool:
        """Publish a pack. Its blobs are read and verified before anything changes."""
        if self._is_known(pack):
            self.blobs.add(pack.sizes, open_blob)  # Restores what is missing or damaged.
            return False
        with self.blobs.staging() as staged:
            staged.add(self.blobs.lacking(pack.sizes), open_blob)
            sessions = self._open_sessions(pack, now)
            try:
                self._wait_for_collector(pack.sizes)
                # The collector may have deleted what was there before the sessions.
                gone = {
                    digest: size
                    for digest, size in pack.sizes.items()
                    if digest not in staged and self.blobs.size(digest) is None
                }
                staged.add(gone, open_blob)
                staged.place()
                return self._commit(pack, sessions, now)
            except BaseException:
                own = upload.c.id.in_(list(sessions.values()))
                with self.catalog.database.writing() as connection:
                    connection.execute(delete(upload).where(own))
                raise

    def _open_sessions(self, pack: PackRow, now: datetime) -> dict[Digest, str]:
        period = (now, now + _LIFETIME)
        with self.catalog.database.writing() as connection:
            return open_sessions(connection, pack.sizes, None, LOCAL, period)

    def _commit(self, pack: PackRow, sessions: Mapping[Digest, str], now: datetime) -> bool:
        database = self.catalog.database
        with database.writing() as connection:
            for digest in sorted(pack.sizes):
                size = pack.sizes[digest]
                settle(connection, sessions[digest], digest, size, LOCAL, now=now)
            changes = ReleaseChanges(database)
            return changes.publish_in(connection, pack, LOCAL, now=now).created

    def _is_known(self, pack: PackRow) -> bool:
        """Whether the pack is published. Raises `ReleaseExistsError` if its version is another."""
        skill, version = pack.manifest.skill, pack.manifest.version
        existing = self.catalog.find(skill, version)
        if existing is not None and existing.digest != pack.digest:
            raise ReleaseExistsError(
                skill, version, existing=str(existing.digest), offered=str(pack.digest)
            )
        return existing is not None

    def _wait_for_collector(self, digests: Iterable[Digest]) -> None:
        """Wait until no blob is being deleted. Raises `BlobBusyError`."""
        names = [str(digest) for digest in digests]
        query = select(blob.c.digest).where(blob.c.state == DELETING)
        end = time.monotonic() + self.timeout
        while True:
            with self.catalog.database.reading() as connection:
                busy = sorted(set(connection.scalars(query)) & set(names))
            if not busy:
                return
            if time.monotonic() > end:
                raise BlobBusyError(Digest(busy[0]))
            time.sleep(_PAUSE)
