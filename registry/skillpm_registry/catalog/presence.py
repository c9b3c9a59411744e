"""Which blobs count as present to a principal (contract, section 3)."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, select

from skillpm_registry.catalog.actor import Actor, may_read
from skillpm_registry.tables import LIVE, blob, blob_owner, release, release_blob, skill

_CHUNK = 300  # Each digest is a parameter of three parts of the statement.
_LIVE_BLOBS: Select[Any] = (
    select(blob.c.digest, blob.c.size, blob_owner.c.principal_id.label("owner"))
    .outerjoin(
        blob_owner,
        and_(
            blob_owner.c.digest == blob.c.digest,
            blob_owner.c.principal_id == bindparam("principal"),
        ),
    )
    .where(blob.c.digest.in_(bindparam("digests", expanding=True)), blob.c.state == LIVE)
    .order_by(blob.c.digest)
)
_LOCKED_BLOBS = _LIVE_BLOBS.with_for_update(read=True, of=blob)


def live_blobs(
    connection: Connection, digests: Collection[str], actor: Actor, *, lock: bool = False
) -> dict[str, int]:
    """The sizes of those of these blobs that are live and present to the actor.

    Present is what the actor has uploaded, or what a release has that it may read. With `lock`, the
    rows are locked in the order of digests until the transaction ends, also of blobs that are not
    present. One statement for 300 blobs that the actor owns.
    """
    query = _LOCKED_BLOBS if lock else _LIVE_BLOBS
    sizes, others = dict[str, int](), list[str]()
    for chunk in _chunks(sorted(digests)):
        values = {"digests": chunk, "principal": actor.principal}
        for row in connection.execute(query, values):
            sizes[row.digest] = row.size
            if row.owner is None and not actor.is_admin:
                others.append(row.digest)
    for chunk in _chunks(others):
        for digest in set(chunk) - set(_readable(connection, chunk, actor)):
            del sizes[digest]
    return sizes


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
