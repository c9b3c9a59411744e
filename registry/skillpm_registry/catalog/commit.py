"""The rows of a publication, inserted in one transaction."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, bindparam, select

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.entries import entry_of, leaf_document
from skillpm_registry.catalog.events import EventSubject, event_row
from skillpm_registry.catalog.insert import RowOf, insert_key, insert_new, insert_together
from skillpm_registry.catalog.leaves import PUBLISH, log_of
from skillpm_registry.catalog.presence import live_blobs
from skillpm_registry.catalog.rows import PackRow, values_of
from skillpm_registry.catalog.searchrows import LatestRelease, index_row, new_row, refresh_row
from skillpm_registry.refusals import (
    BlobsNotLiveError,
    MirroredNamespaceError,
    UnknownNamespaceError,
)
from skillpm_registry.tables import (
    event,
    log_leaf,
    namespace,
    release,
    release_blob,
    release_entry,
    release_origin,
    search_row,
    skill,
)

CHUNK = 900  # Older versions of SQLite allow 999 parameters in a statement.
T = TypeVar("T")


class Commit(NamedTuple):
    """A pack to insert, who publishes it and when, and what is known of its skill.

    `private` is that of the namespace. `skill_id` is None for a new skill.
    """

    pack: PackRow
    actor: Actor
    now: datetime
    private: bool
    skill_id: int | None


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in groups that fit into a statement."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


_FIND_SKILL = (
    select(
        namespace.c.private, namespace.c.mirror_of, skill.c.id.label("skill_id"), release.c.id,
        release.c.digest, release.c.yanked, release.c.yank_reason, release.c.quarantined,
        release.c.quarantine_reason,
    )
    .select_from(namespace)
    .outerjoin(
        skill, (skill.c.namespace == namespace.c.name) & (skill.c.name == bindparam("skill"))
    )
    .outerjoin(
        release,
        (release.c.skill_id == skill.c.id) & (release.c.version == bindparam("release_version")),
    )
    .where(namespace.c.name == bindparam("space"))
    .with_for_update(read=True, key_share=True, of=namespace)
)  # fmt: skip


def find_skill(connection: Connection, name: SkillName, version: Version) -> Any:
    """The namespace, the skill and the release as one row: None without the namespace.

    `skill_id` and `id` are None for a new skill and a new release. The namespace becomes private
    before or after this transaction, not meanwhile.
    """
    values = {"space": name.namespace, "skill": name.name, "release_version": str(version)}
    return connection.execute(_FIND_SKILL, values).first()


def check_namespace(
    connection: Connection, found: Any, name: SkillName, actor: Actor, now: datetime
) -> bool:
    """Whether the namespace of a skill is private; `found` is the row of `find_skill`.

    The owner of an embedded registry creates the namespace. Raises `UnknownNamespaceError` and
    `MirroredNamespaceError`.
    """
    if found is None:
        if actor.principal is not None or not actor.is_admin:
            raise UnknownNamespaceError(name.namespace)
        insert_new(connection, namespace, {"name": name.namespace, "created_at": now})
        return False
    if found.mirror_of is not None:
        raise MirroredNamespaceError(name.namespace, found.mirror_of)
    return bool(found.private)


def lock_blobs(connection: Connection, commit: Commit) -> None:
    """Lock the rows of a pack's blobs in the order of digests, until the transaction ends.

    All must be live and present to the actor. Raises `BlobsNotLiveError` with the others.
    """
    sizes = {str(digest): size for digest, size in commit.pack.sizes.items()}
    live = live_blobs(connection, sizes, commit.actor, lock=True)
    usable = {digest for digest, size in sizes.items() if live.get(digest) == size}
    if usable != set(sizes):
        raise BlobsNotLiveError([Digest(digest) for digest in sorted(set(sizes) - usable)])


def add_release(connection: Connection, commit: Commit) -> int | None:
    """Insert the rows of a release. Returns the key of its leaf.

    None if another transaction has inserted the same version or digest meanwhile.
    """
    pack, now = commit.pack, commit.now
    name = pack.manifest.skill
    skill_id, is_new = _skill_key(connection, commit)
    values = values_of(pack) | {
        "skill_id": skill_id,
        "published_at": now.astimezone(UTC),
        "yanked": False,
        "yank_reason": "",
    }
    key = insert_key(connection, release, values)
    if key is None:
        return None
    latest = LatestRelease(key, values, commit.private)
    leaf_row = (log_leaf, publish_leaf_row(skill_id, key, commit))
    rows = [*_parts(key, pack), *_records(key, commit)]
    if not is_new:
        leaf = insert_together(connection, *rows, leaf_row)
        refresh_row(connection, skill_id, name, latest)
        return leaf
    found_by = new_row(skill_id, name, latest)
    leaf = insert_together(connection, *rows, (search_row, found_by), leaf_row)
    index_row(connection, found_by)
    return leaf


def _parts(key: int, pack: PackRow) -> Iterator[RowOf]:
    """The references of a release to its blobs, and its entry."""
    for position, part in enumerate((pack.image.config, *pack.image.layers)):
        row = {
            "release_id": key,
            "position": position,
            "digest": str(part.digest),
            "media_type": part.media_type,
        }
        yield release_blob, row
    yield release_entry, {"release_id": key, "document": entry_of(pack)}


def _records(key: int, commit: Commit) -> Iterator[RowOf]:
    """Who published a release, and the event."""
    pack, actor = commit.pack, commit.actor
    name, version = pack.manifest.skill, str(pack.manifest.version)
    origin = {
        "release_id": key,
        "principal_id": actor.principal,
        "claims": dict(actor.claims),
    }
    yield release_origin, origin
    subject = EventSubject(str(name), name.namespace, version, str(pack.digest))
    yield event, event_row(PUBLISH, subject, actor, now=commit.now)


def publish_leaf_row(skill_id: int, key: int, commit: Commit) -> dict[str, Any]:
    """The values of the leaf of a publication, about a skill and a release with these keys."""
    manifest = commit.pack.manifest
    facts = {
        "skill": str(manifest.skill),
        "version": str(manifest.version),
        "digest": str(commit.pack.digest),
    }
    return {
        "log": log_of(manifest.skill.namespace, private=commit.private),
        "kind": PUBLISH,
        "skill_id": skill_id,
        "release_id": key,
        "document": leaf_document(PUBLISH, facts, commit.now),
        "added_at": commit.now,
    }


def _skill_key(connection: Connection, commit: Commit) -> tuple[int, bool]:
    """The primary key of the skill, and whether this transaction has inserted it."""
    if commit.skill_id is not None:
        return commit.skill_id, False
    name = commit.pack.manifest.skill
    row = {"namespace": name.namespace, "name": name.name}
    key = insert_key(connection, skill, row)
    if key is not None:
        return key, True
    query = select(skill.c.id).where(skill.c.namespace == name.namespace, skill.c.name == name.name)
    return int(connection.scalars(query).one()), False
