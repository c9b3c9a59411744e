"""Publishing a pack whose blobs were uploaded."""

from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import delete

from skillpm.errors import SkillpmError
from skillpm.spec.digests import Digest
from skillpm.spec.oci import parse_image
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.changes import ReleaseChange, ReleaseChanges
from skillpm_registry.catalog.documents import Documents
from skillpm_registry.catalog.rows import PackRow
from skillpm_registry.publishing.packs import read_pack
from skillpm_registry.publishing.sessions import settle
from skillpm_registry.publishing.uploads import Uploads
from skillpm_registry.refusals import BlobsNotLiveError
from skillpm_registry.tables import upload


class Publisher:
    """Publishes packs in a registry."""

    def __init__(self, uploads: Uploads, changes: ReleaseChanges) -> None:
        self._uploads = uploads
        self._changes = changes
        self._documents = Documents(uploads.database)

    def publish(
        self, image: bytes, actor: Actor, *, now: datetime, pack: PackRow | None = None
    ) -> ReleaseChange:
        """Publish the release whose OCI manifest is `image`. Idempotent by digest.

        Reads the manifest from the store of blobs, checks the pack, stores `image` as a blob, and
        commits. The caller has checked that the actor may publish the skill; what `read` has
        returned for that is not read again if it is passed as `pack`. Raises `SpecError` for an
        invalid pack, `BlobsNotLiveError`, `BlobBusyError` and `ReleaseExistsError`.
        """
        pack = pack or self.read(image, actor)
        namespace = pack.manifest.skill.namespace
        digest, database = pack.digest, self._uploads.database
        if pack.is_stored:
            self._uploads.store(digest, image, namespace, actor, now=now)
            return self._changes.publish(pack, actor, now=now)
        session = self._uploads.place(digest, image, namespace, actor, now=now)
        try:
            with database.writing() as connection:
                settle(connection, session, digest, len(image), actor, now=now)
                return self._changes.publish_in(connection, pack, actor, now=now)
        except SkillpmError:
            with database.writing() as connection:
                connection.execute(delete(upload).where(upload.c.id == session))
            raise

    def read(self, image: bytes, actor: Actor) -> PackRow:
        """Read the pack whose OCI manifest is `image`, to check who may publish its skill.

        Raises `SpecError`, and `BlobsNotLiveError` if its manifest is not present to the actor.
        """
        config, digest = parse_image(image).config.digest, Digest.of(image)
        present = self._documents.present_blobs((config, digest), actor)
        if config not in present:
            raise BlobsNotLiveError([config])
        return replace(read_pack(image, self._open), is_stored=digest in present)

    def _open(self, digest: Digest) -> BinaryIO:
        source = self._uploads.blobs.open(digest)
        if source is None:
            raise BlobsNotLiveError([digest])
        return source
