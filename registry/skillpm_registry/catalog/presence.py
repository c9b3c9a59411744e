"""Which blobs count as present to a principal (contract, section 3)."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection, select

from skillpm_registry.catalog.actor import Actor, may_read
from skillpm_registry.tables import blob_owner, release, release_blob, skill

_CHUNK = 300  # Each digest is a parameter of three parts of the statement.


def present(connection: Connection, digests: Collection[str], actor: Actor) -> set[str]:
    """Those of these blobs that the actor has uploaded, or that a release has that it may read."""
    found = set[str]()
    for chunk in _chunks(sorted(digests)):
        owned = select(blob_owner.c.digest).where(
            blob_owner.c.digest.in_(chunk), blob_owner.c.principal_id == actor.principal
        )
        found.update(connection.scalars(owned))
        rest = [digest for digest in chunk if digest not in found]
        if rest:
            found.update(_readable(connection, rest, actor))
    return found


def _readable(connection: Connection, digests: Sequence[str], actor: Actor) -> Iterator[str]:
    readable = may_read(skill.c.namespace, actor)
    parts = (
        select(release_blob.c.digest)
        .join(release, release.c.id == release_blob.c.release_id)
        .join(skill, skill.c.id == release.c.skill_id)
        .where(release_blob.c.digest.in_(digests), readable)
    )
    images = (
        select(release.c.digest)
        .join(skill, skill.c.id == release.c.skill_id)
        .where(release.c.digest.in_(digests), readable)
    )
    yield from connection.scalars(parts.distinct())
    yield from connection.scalars(images)


def _chunks(items: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk
