"""The rows of a publication, inserted in one transaction."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, insert, select

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.entries import entry_of, leaf_document
from skillpm_registry.catalog.events import EventSubject, record_event
from skillpm_registry.catalog.insert import insert_new
from skillpm_registry.catalog.leaves import PUBLISH, log_of
from skillpm_registry.catalog.presence import live_blobs
from skillpm_registry.catalog.rows import PackRow, values_of
from skillpm_registry.catalog.searchrows import refresh_row
from skillpm_registry.refusals import (
    BlobsNotLiveError,
    MirroredNamespaceError,
    UnknownNamespaceError,
)
from skillpm_registry.tables import (
    log_leaf,
    namespace,
    release,
    release_blob,
    release_entry,
    release_origin,
    skill,
)

CHUNK = 900  # Older versions of SQLite allow 999 parameters in a statement.
T = TypeVar("T")


class Commit(NamedTuple):
    """A pack to insert, who publishes it and when, and whether its namespace is private."""

    pack: PackRow
    actor: Actor
    now: datetime
    private: bool


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in groups that fit into a statement."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def check_namespace(connection: Connection, name: SkillName, actor: Actor, now: datetime) -> bool:
    """Whether the namespace of a skill is private. The owner of an embedded registry creates it.

    Raises `UnknownNamespaceError` and `MirroredNamespaceError`.
    """
    query = select(namespace.c.private, namespace.c.mirror_of).where(
        namespace.c.name == name.namespace
    )
    # The namespace becomes private before or after this transaction, not meanwhile.
    row = connection.execute(query.with_for_update(read=True, key_share=True)).first()
    if row is None:
        if actor.principal is not None or not actor.is_admin:
            raise UnknownNamespaceError(name.namespace)
        insert_new(connection, namespace, {"name": name.namespace, "created_at": now})
        return False
    if row.mirror_of is not None:
        raise MirroredNamespaceError(name.namespace, row.mirror_of)
    return bool(row.private)


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
    name, version = pack.manifest.skill, pack.manifest.version
    skill_id = skill_key(connection, name)
    values = values_of(pack) | {"skill_id": skill_id, "published_at": now.astimezone(UTC)}
    if connection.dialect.name == "postgresql":
        insert_new(connection, release, values | {"yanked": False, "yank_reason": ""})
    else:
        connection.execute(insert(release).values(values))
    key = connection.scalar(
        select(release.c.id).where(
            release.c.digest == str(pack.digest), release.c.skill_id == skill_id
        )
    )
    if key is None or _has_parts(connection, key):
        return None
    add_parts(connection, key, pack)
    origin = {"principal_id": commit.actor.principal, "claims": dict(commit.actor.claims)}
    connection.execute(insert(release_origin).values(release_id=key, **origin))
    leaf = add_publish_leaf(connection, (skill_id, key), commit)
    subject = EventSubject(str(name), name.namespace, str(version), str(pack.digest))
    record_event(connection, PUBLISH, subject, commit.actor, now=now)
    refresh_row(connection, skill_id, name)
    return leaf


def add_parts(connection: Connection, key: int, pack: PackRow) -> None:
    """Insert the references of a release to its blobs, and its entry."""
    parts = [
        {"release_id": key, "position": position, "digest": str(part.digest),
         "media_type": part.media_type}
        for position, part in enumerate((pack.image.config, *pack.image.layers))
    ]  # fmt: skip
    connection.execute(insert(release_blob), parts)
    connection.execute(insert(release_entry).values(release_id=key, document=entry_of(pack)))


def add_publish_leaf(connection: Connection, keys: tuple[int, int], commit: Commit) -> int:
    """Insert the leaf of a publication, about the skill and the release with these keys."""
    manifest = commit.pack.manifest
    facts = {
        "skill": str(manifest.skill),
        "version": str(manifest.version),
        "digest": str(commit.pack.digest),
    }
    values = {
        "log": log_of(manifest.skill.namespace, private=commit.private),
        "kind": PUBLISH,
        "skill_id": keys[0],
        "release_id": keys[1],
        "document": leaf_document(PUBLISH, facts, commit.now),
        "added_at": commit.now,
    }
    statement = insert(log_leaf).values(values).returning(log_leaf.c.id)
    return int(connection.execute(statement).scalar_one())


def _has_parts(connection: Connection, key: int) -> bool:
    query = select(release_blob.c.position).where(release_blob.c.release_id == key).limit(1)
    return connection.scalar(query) is not None


def skill_key(connection: Connection, name: SkillName) -> int:
    """The primary key of a skill. Inserts the skill if it is new."""
    query = select(skill.c.id).where(skill.c.namespace == name.namespace, skill.c.name == name.name)
    key = connection.scalar(query)
    if key is None:
        insert_new(connection, skill, {"namespace": name.namespace, "name": name.name})
        key = connection.scalars(query).one()
    return int(key)
