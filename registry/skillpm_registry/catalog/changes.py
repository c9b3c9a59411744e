"""Changes of releases. Each is one transaction with its log leaf, event and search row."""

from dataclasses import dataclass
from datetime import datetime

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.rows import PackRow
from skillpm_registry.db.engine import Database


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is committed.

    `leaf` is the row in the log, which the sequencer numbers later. `created` is false if nothing
    was changed: the same digest was published before, or the release had this state.
    """

    skill: SkillName
    version: Version
    digest: Digest
    state: str
    reason: str
    leaf: int | None
    created: bool


class Changes:
    """The changes of releases in a catalogue. No method accesses the store of blobs."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def publish(self, pack: PackRow, actor: Actor, *, now: datetime) -> Change:
        """Publish a pack whose blobs are live, in one transaction.

        Locks the blobs' rows in the order of digests (`FOR SHARE`; SQLite: `BEGIN IMMEDIATE`).
        Raises `BlobsNotLiveError` with the blobs to upload, `ReleaseExistsError` if the version is
        published with another digest, and `MirroredNamespaceError`.
        """
        raise NotImplementedError

    def yank(
        self, skill: SkillName, version: Version, reason: str, actor: Actor, *, now: datetime
    ) -> Change:
        """Yank a release. A further yank changes the reason. Raises `UnknownReleaseError`."""
        raise NotImplementedError

    def unyank(self, skill: SkillName, version: Version, actor: Actor, *, now: datetime) -> Change:
        """Undo the yank of a release. Raises `UnknownReleaseError`."""
        raise NotImplementedError

    def quarantine(
        self, skill: SkillName, version: Version, reason: str, actor: Actor, *, now: datetime
    ) -> Change:
        """Refuse a release everywhere. Its bytes are kept. Raises `UnknownReleaseError`."""
        raise NotImplementedError

    def release(self, skill: SkillName, version: Version, actor: Actor, *, now: datetime) -> Change:
        """End the quarantine of a release; a yank is kept. Raises `UnknownReleaseError`."""
        raise NotImplementedError
