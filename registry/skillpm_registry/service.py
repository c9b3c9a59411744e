"""The embedded registry: publish, list, search and yank releases; serve their blobs."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version
from skillpm_registry.blobs.folder import Blobs
from skillpm_registry.blobs.protocol import OpenBlob
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.catalog.advising import advise, withdraw
from skillpm_registry.catalog.advisories import Advisories
from skillpm_registry.catalog.changes import ReleaseChanges
from skillpm_registry.catalog.queries import Catalog
from skillpm_registry.catalog.rows import STATES_SINCE
from skillpm_registry.db.create import create_database
from skillpm_registry.db.disk import locked
from skillpm_registry.db.schema import open_database, revision
from skillpm_registry.errors import (
    BlobMissingError,
    BlobNotFoundError,
    RegistryBusyError,
    UnknownReleaseError,
)
from skillpm_registry.publishing.local import LocalPublisher
from skillpm_registry.publishing.packs import read_pack

TIMEOUT = 600.0  # Seconds to wait for another writer. Publishing a large pack takes minutes.


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The result of `publish`. `created` is false if the same digest was published before."""

    release: Release
    created: bool


class Registry:
    """A registry in a folder. Readers do not wait for writers."""

    def __init__(self, path: Path, catalog: Catalog, *, timeout: float) -> None:
        self.path = path
        self._catalog = catalog
        self._advisories = Advisories(catalog.database)
        self._blobs = Blobs(path)
        self._timeout = timeout

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills, also yanked ones, by skill and in the order of versions.

        Unknown skills are absent.
        """
        return self._catalog.releases(skills)

    def search(self, text: str) -> list[Release]:
        """The latest release of each skill that has all words in name, summary or capabilities."""
        return self._catalog.search(text)

    def skills(self) -> list[SkillName]:
        """The names of all skills, sorted."""
        return self._catalog.skills()

    def publish(self, image: bytes, open_blob: OpenBlob, *, now: datetime) -> PublishResult:
        """Publish the release whose OCI manifest is `image`, with all its blobs.

        First verifies and stores the blobs, then inserts the release in one transaction. If the
        process is killed, no release is added; blobs that are stored already are reused by the next
        attempt. Publishing the same digest again changes no release, and restores missing and
        damaged blobs. Publishers wait for each other only during the transaction, except in a
        registry with an old schema and on a network file system (ADR 53). Raises
        `ReleaseExistsError` if the version is published with other contents, and `IntegrityError`
        if the bytes of a blob do not have its digest.
        """
        pack = read_pack(image, open_blob)

        def source(digest: Digest) -> BinaryIO:
            return BytesIO(image) if digest == pack.digest else open_blob(digest)

        self._notice_upgrade()
        created = self._local().publish(pack, source, now=now)
        return PublishResult(self._release(pack.manifest.skill, pack.manifest.version), created)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob or an OCI manifest. The caller verifies the bytes and closes the stream.

        Raises `BlobNotFoundError` for an unknown blob, and `BlobMissingError` if the file of a
        published blob is missing.
        """
        source = self._blobs.open(digest)
        if source is not None:
            return source
        if self._catalog.knows_blob(digest):
            raise BlobMissingError(self.path, digest)
        raise BlobNotFoundError(self.path, digest)

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Yank a release, which hides it from new resolutions. A further yank changes the reason.

        Raises `UnknownReleaseError`.
        """
        self._notice_upgrade()
        if self._has_states():
            changes = ReleaseChanges(self._catalog.database)
            changes.yank(skill, version, reason, LOCAL, now=now)
        else:
            self._catalog.yank(skill, version, reason=reason, now=now)
        return self._release(skill, version)

    def unyank(self, skill: SkillName, version: Version, *, now: datetime | None = None) -> Release:
        """Undo the yank of a release. Raises `UnknownReleaseError`."""
        self._notice_upgrade()
        if self._has_states():
            changes = ReleaseChanges(self._catalog.database)
            changes.unyank(skill, version, LOCAL, now=now or datetime.now(UTC))
        else:
            self._catalog.unyank(skill, version)
        return self._release(skill, version)

    def advisories(self) -> list[Advisory]:
        """All advisories, also withdrawn ones, in the order of their identifiers."""
        return self._advisories.all()

    def advise(self, advisory: Advisory, *, now: datetime) -> bool:
        """Publish an advisory, or a newer version of it. Returns False if it is not changed.

        Raises `AdvisoryOutdatedError` for a different version that is not newer, and
        `UnknownAffectedError` if it affects no skill, or one that is not in this registry.
        """
        with locked(self.path, self._timeout):
            return advise(self._advisories, advisory, self.skills(), now=now)

    def withdraw(self, identifier: str, *, now: datetime) -> Advisory:
        """Withdraw an advisory: it stays listed, but no longer affects releases.

        Raises `UnknownAdvisoryError`.
        """
        with locked(self.path, self._timeout):
            return withdraw(self._advisories, identifier, now=now)[0]

    def close(self) -> None:
        """Do nothing: no file is open between calls. The client's `Index` protocol needs it."""

    def _has_states(self) -> bool:
        return self._catalog.database.schema >= STATES_SINCE

    def _notice_upgrade(self) -> None:
        """Use the newest schema if another process has upgraded the registry meanwhile."""
        database = self._catalog.database
        if not self._has_states():
            found = revision(database)
            if found != database.schema:
                self._catalog = Catalog(replace(database, schema=found))

    def _local(self) -> LocalPublisher:
        return LocalPublisher(self.path, self._catalog, self._blobs, self._timeout)

    def _release(self, skill: SkillName, version: Version) -> Release:
        release = self._catalog.find(skill, version)
        if release is None:
            raise UnknownReleaseError(self.path, skill, version)
        return release


def open_registry(
    path: Path, *, create: bool = False, shared: bool = False, timeout: float = TIMEOUT
) -> Registry:
    """Open the registry in the folder `path`; with `create`, create it if it does not exist.

    A new registry is accessible to its owner only, or with `shared` to the folder's group too. A
    writer waits up to `timeout` seconds for another. Raises `RegistryError` if there is no
    registry, if its catalogue is missing or damaged, or if a newer skillpm has written it.
    """
    if create:
        create_database(path, timeout, shared=shared)
    return Registry(path, Catalog(open_database(path, timeout)), timeout=timeout)


def tidy_registry(path: Path) -> None:
    """Remove unfinished files of killed writers, unless the registry is being written."""
    with suppress(RegistryBusyError), locked(path, 0):
        Blobs(path).sweep()
