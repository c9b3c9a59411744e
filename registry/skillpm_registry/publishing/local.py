"""Publishing into a registry in a folder, by any number of processes at once (ADR 53)."""

import time
from collections.abc import Iterable
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
        if self._is_known(pack):
            self.blobs.add(pack.sizes, open_blob)  # Restores what is missing or damaged.
            return False
        database = self.catalog.database
        with database.writing() as connection:
            sessions = open_sessions(connection, pack.sizes, None, LOCAL, (now, now + _LIFETIME))
        try:
            self._wait_for_collector(pack.sizes)
            self.blobs.add(pack.sizes, open_blob)
            with database.writing() as connection:
                for digest in sorted(pack.sizes):
                    size = pack.sizes[digest]
                    settle(connection, sessions[digest], digest, size, LOCAL, now=now)
                return ReleaseChanges(database).publish_in(connection, pack, LOCAL, now=now).created
        except BaseException:
            with database.writing() as connection:
                own = upload.c.id.in_(list(sessions.values()))
                connection.execute(delete(upload).where(own))
            raise

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
