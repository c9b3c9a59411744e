"""ReleaseChanges of releases. Each is one transaction with its log leaf, event and search row."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.commit import (
    Commit,
    add_release,
    check_namespace,
    find_skill,
    lock_blobs,
)
from skillpm_registry.catalog.entries import LIVE, leaf_document, status_of
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.catalog.leaves import add_leaf, publish_leaf
from skillpm_registry.catalog.rows import PackRow
from skillpm_registry.catalog.searchrows import refresh_row
from skillpm_registry.db.engine import Database
from skillpm_registry.errors import ReleaseExistsError, UnknownReleaseError
from skillpm_registry.tables import release, skill


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """A change that is committed.

    `leaf` is the row in the log, which the sequencer numbers later; after a change of nothing, the
    row of the release's publication. `created` is false if nothing was changed: the same digest was
    published before, or the release had this state.
    """

    skill: SkillName
    version: Version
    digest: Digest
    state: str
    reason: str
    leaf: int | None
    created: bool


class ReleaseChanges:
    """The changes of releases in a catalogue. No method accesses the store of blobs."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def publish(self, pack: PackRow, actor: Actor, *, now: datetime) -> ReleaseChange:
        """Publish a pack whose blobs are live, in one transaction.

        Locks the blobs' rows in the order of digests (`FOR SHARE`; SQLite: `BEGIN IMMEDIATE`).
        Raises `BlobsNotLiveError` with the blobs to upload, `ReleaseExistsError` if the version is
        published with another digest, `UnknownNamespaceError` and `MirroredNamespaceError`.
        """
        with self.database.writing() as connection:
            return self.publish_in(connection, pack, actor, now=now)

    def publish_in(
        self, connection: Connection, pack: PackRow, actor: Actor, *, now: datetime
    ) -> ReleaseChange:
        """Like `publish`, in the caller's transaction."""
        name, version = pack.manifest.skill, pack.manifest.version
        found = find_skill(connection, name, version)
        existing = found if found is not None and found.id is not None else None
        if existing is None:
            private = check_namespace(connection, found, name, actor, now)
            skill_id = None if found is None else found.skill_id
            commit = Commit(pack, actor, now, private, skill_id)
            lock_blobs(connection, commit)
            leaf = add_release(connection, commit)
            if leaf is not None:
                return ReleaseChange(name, version, pack.digest, LIVE, "", leaf, created=True)
            # Another transaction has published the same version, and is committed now.
            existing = _find(connection, name, version)
        if existing is None or existing.digest != str(pack.digest):
            other = "another release" if existing is None else existing.digest
            raise ReleaseExistsError(name, version, existing=other, offered=str(pack.digest))
        leaf = publish_leaf(connection, existing.id)
        return ReleaseChange(name, version, pack.digest, *status_of(existing), leaf, created=False)

    def yank(
        self, name: SkillName, version: Version, reason: str, actor: Actor, *, now: datetime
    ) -> ReleaseChange:
        """Yank a release. A further yank changes the reason. Raises `UnknownReleaseError`."""
        since = func.coalesce(release.c.yanked_at, now.astimezone(UTC))
        values = {"yanked": True, "yank_reason": reason, "yanked_at": since}
        return self._change("yank", name, version, values, actor, now)

    def unyank(
        self, name: SkillName, version: Version, actor: Actor, *, now: datetime
    ) -> ReleaseChange:
        """Undo the yank of a release. Raises `UnknownReleaseError`."""
        values = {"yanked": False, "yank_reason": "", "yanked_at": None}
        return self._change("unyank", name, version, values, actor, now)

    def quarantine(
        self, name: SkillName, version: Version, reason: str, actor: Actor, *, now: datetime
    ) -> ReleaseChange:
        """Refuse a release everywhere. Its bytes are kept. Raises `UnknownReleaseError`."""
        values = {"quarantined": True, "quarantine_reason": reason, "quarantined_at": now}
        return self._change("quarantine", name, version, values, actor, now)

    def release(
        self, name: SkillName, version: Version, actor: Actor, *, now: datetime
    ) -> ReleaseChange:
        """End the quarantine of a release; a yank is kept. Raises `UnknownReleaseError`."""
        values = {"quarantined": False, "quarantine_reason": "", "quarantined_at": None}
        return self._change("release", name, version, values, actor, now)

    def _change(
        self,
        kind: str,
        name: SkillName,
        version: Version,
        values: Mapping[str, Any],
        actor: Actor,
        now: datetime,
    ) -> ReleaseChange:
        with self.database.writing() as connection:
            before = _find(connection, name, version, lock=True)
            if before is None:
                raise UnknownReleaseError(self.database.place, name, version)
            connection.execute(update(release).where(release.c.id == before.id).values(values))
            after = _find(connection, name, version)
            if after is None:
                raise AssertionError
            status, digest = status_of(after), Digest(after.digest)
            if _states(before) == _states(after):
                leaf = publish_leaf(connection, before.id)
                return ReleaseChange(name, version, digest, *status, leaf, created=False)
            reason = values.get("yank_reason") or values.get("quarantine_reason") or ""
            facts = {
                "skill": str(name),
                "version": str(version),
                "digest": before.digest,
                "reason": reason,
            }
            leaf = add_leaf(connection, kind, leaf_document(kind, facts, now), before, now)
            subject = EventSubject(
                str(name), name.namespace, str(version), before.digest, {"reason": reason}
            )
            record_event(connection, kind, subject, actor, now=now)
            refresh_row(connection, before.skill_id, name)
            return ReleaseChange(name, version, digest, *status, leaf, created=True)


def _states(row: Any) -> tuple[object, ...]:
    return (row.yanked, row.yank_reason, row.quarantined, row.quarantine_reason)


def _find(connection: Connection, name: SkillName, version: Version, *, lock: bool = False) -> Any:
    """The row of a release with the namespace of its skill, or None."""
    query = (
        select(
            release.c.id, release.c.skill_id, release.c.digest, release.c.yanked,
            release.c.yank_reason, release.c.quarantined, release.c.quarantine_reason,
            skill.c.namespace,
        )
        .select_from(release.join(skill))
        .where(
            skill.c.namespace == name.namespace,
            skill.c.name == name.name,
            release.c.version == str(version),
        )
    )  # fmt: skip
    if lock:
        # Not FOR UPDATE: another transaction may refer to the release, as a row of search does.
        query = query.with_for_update(of=release, key_share=True)
    return connection.execute(query).first()
