"""Filling in what newer schemas add to older releases: entries, leaves and search rows."""

from datetime import UTC
from typing import Any, BinaryIO

from sqlalchemy import Connection, select

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.blobs.verify import verified
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.catalog.commit import Commit, check_namespace, find_skill, publish_leaf_row
from skillpm_registry.catalog.entries import entry_of
from skillpm_registry.catalog.insert import insert_together
from skillpm_registry.catalog.rows import PackRow
from skillpm_registry.catalog.searchrows import refresh_row
from skillpm_registry.db.engine import Database
from skillpm_registry.errors import BlobMissingError
from skillpm_registry.publishing.packs import read_pack
from skillpm_registry.tables import blob, log_leaf, release, release_entry, skill

_BATCH = 100
_SMALL = 64_000_000
"""Bytes of an OCI manifest."""


def fill_in(database: Database, blobs: BlobStore) -> int:
    """Add what is missing to releases that older versions of skillpm have published.

    Reads the manifests of those releases, in transactions of 100. If it is interrupted, the next
    call continues. Returns the number of releases. Raises `BlobMissingError`.
    """
    filled = 0
    while batch := _unfilled(database):
        packs = [(row, _pack_of(blobs, row)) for row in batch]
        with database.writing() as connection:
            for row, pack in packs:
                _fill(connection, row, pack)
        filled += len(batch)
    return filled


def _unfilled(database: Database) -> list[Any]:
    query = (
        select(
            release.c.id, release.c.skill_id, release.c.digest, release.c.published_at,
            skill.c.namespace, skill.c.name, blob.c.size,
        )
        .select_from(release.join(skill).join(blob, blob.c.digest == release.c.digest))
        .outerjoin(release_entry, release_entry.c.release_id == release.c.id)
        .where(release_entry.c.release_id.is_(None))
        .order_by(release.c.id)
        .limit(_BATCH)
    )  # fmt: skip
    with database.reading() as connection:
        return list(connection.execute(query))


def _pack_of(blobs: BlobStore, row: Any) -> PackRow:
    def open_blob(digest: Digest) -> BinaryIO:
        source = blobs.open(digest)
        if source is None:
            raise BlobMissingError(blobs.name, digest)
        return source

    digest = Digest(row.digest)
    with open_blob(digest) as source:
        image = b"".join(verified(source, digest, min(row.size, _SMALL)))
    return read_pack(image, open_blob)


def _fill(connection: Connection, row: Any, pack: PackRow) -> None:
    name = SkillName(row.namespace, row.name)
    moment = row.published_at.replace(tzinfo=row.published_at.tzinfo or UTC)
    found = find_skill(connection, name, pack.manifest.version)
    private = check_namespace(connection, found, name, LOCAL, moment)
    entry = {"release_id": row.id, "document": entry_of(pack)}
    if connection.scalar(_has_entry(row.id)) is None:
        commit = Commit(pack, LOCAL, moment, private, row.skill_id)
        leaf = publish_leaf_row(row.skill_id, row.id, commit)
        insert_together(connection, (release_entry, entry), (log_leaf, leaf))
        refresh_row(connection, row.skill_id, name)


def _has_entry(key: int) -> Any:
    return select(release_entry.c.release_id).where(release_entry.c.release_id == key)
