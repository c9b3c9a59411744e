"""Publishing a pack whose blobs were uploaded."""

from datetime import datetime

from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.changes import Change, Changes
from skillpm_registry.publishing.uploads import Uploads


class Publisher:
    """Publishes packs in a registry."""

    def __init__(self, uploads: Uploads, changes: Changes) -> None:
        self._uploads = uploads
        self._changes = changes

    def publish(self, image: bytes, actor: Actor, *, now: datetime) -> Change:
        """Publish the release whose OCI manifest is `image`. Idempotent by digest.

        Reads the manifest from the store of blobs, checks the pack, stores `image` as a blob, and
        commits. The caller has checked that the actor may publish: see `skill_of_image`. Raises
        `SpecError` for an invalid pack, `BlobsNotLiveError`, and `ReleaseExistsError`.
        """
        raise NotImplementedError
