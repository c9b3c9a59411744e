"""Index documents: rendered from releases, and read as they were last rendered."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, select, update

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm_registry.catalog.actor import Actor, may_read
from skillpm_registry.catalog.batches import update_rows
from skillpm_registry.catalog.commit import chunks
from skillpm_registry.catalog.entries import full_entry, index_document
from skillpm_registry.catalog.insert import insert_new
from skillpm_registry.catalog.leaves import PUBLISH
from skillpm_registry.catalog.presence import live_blobs
from skillpm_registry.catalog.rows import octet_length
from skillpm_registry.db.engine import Database
from skillpm_registry.tables import index_document as table
from skillpm_registry.tables import (
    log_leaf,
    namespace,
    release,
    release_entry,
    replaced_file,
    skill,
)

_ROWS = 2000
"""The largest number of releases in a batch, unless one skill has more."""
_BATCH_BYTES = 16_000_000
"""The largest size of the texts in a batch, unless one skill has more."""


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """The index document of a skill: the form of `skillpm.spec.served.IndexDocument`."""

    skill: SkillName
    digest: Digest
    body: bytes


@dataclass(frozen=True, slots=True)
class StaleDocument:
    """A document to render: the skill, whether it is private, and what to record afterwards.

    `replaced` is the digest of the document that is in the static tree.
    """

    key: int
    skill: SkillName
    private: bool
    wanted: int
    replaced: Digest | None


class Documents:
    """The rendered index documents of a catalogue."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, name: SkillName, actor: Actor) -> RenderedDocument | None:
        """The current document. None if the skill is unknown or the actor may not read it."""
        query = (
            select(table.c.digest, table.c.body)
            .join(skill, skill.c.id == table.c.skill_id)
            .where(
                skill.c.namespace == name.namespace,
                skill.c.name == name.name,
                table.c.body.is_not(None),
                may_read(skill.c.namespace, actor),
            )
        )
        with self.database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else RenderedDocument(name, Digest(row[0]), row[1].encode())

    def present_blobs(self, digests: Collection[Digest], actor: Actor) -> set[Digest]:
        """Those of these blobs that are live and present to the actor (`catalog.presence`)."""
        with self.database.reading() as connection:
            sizes = live_blobs(connection, [str(digest) for digest in digests], actor)
        return {Digest(digest) for digest in sizes}

    def namespaces(self, *, private: bool = False) -> list[str]:
        """The public namespaces, or the private ones, sorted."""
        query = select(namespace.c.name).where(namespace.c.private.is_(private))
        with self.database.reading() as connection:
            return list(connection.scalars(query.order_by(namespace.c.name)))

    def render_missing(self, space: str, present: AbstractSet[str]) -> int:
        """Make the documents of a namespace stale whose two files are not both at these paths.

        Returns how many there are.
        """
        query = (
            select(table.c.skill_id, table.c.digest, skill.c.name)
            .join(skill, skill.c.id == table.c.skill_id)
            .where(skill.c.namespace == space, table.c.digest.is_not(None))
        )
        with self.database.reading() as connection:
            missing = [
                row.skill_id
                for row in connection.execute(query)
                if not _paths_of(SkillName(space, row.name), Digest(row.digest)) <= present
            ]
        for chunk in chunks(missing):
            with self.database.writing() as connection:
                of_chunk = update(table).where(table.c.skill_id.in_(chunk))
                connection.execute(of_chunk.values(wanted=table.c.wanted + 1))
        return len(missing)

    def stale(self, limit: int) -> list[StaleDocument]:
        """Documents whose skills have changed since they were rendered."""
        with self.database.reading() as connection:
            return [
                StaleDocument(
                    row.skill_id,
                    SkillName(row.namespace, row.name),
                    bool(row.private),
                    row.wanted,
                    None if row.digest is None else Digest(row.digest),
                )
                for row in connection.execute(_STALE, {"most": limit})
            ]

    def render(self, stale: Sequence[StaleDocument]) -> list[RenderedDocument]:
        """The documents of skills as the catalogue is now: all releases with a position.

        `stale` is not empty, and in the order of keys. A batch has at most 2,000 releases and 16 MB
        of texts, so that there may be fewer documents than `stale`, but at least one. What is
        numbered while a batch is read is read with it.
        """
        releases: defaultdict[int, list[Any]] = defaultdict(list)
        with self.database.reading() as connection:
            keys = _first_keys(connection, [document.key for document in stale])
            for row in connection.execute(_RELEASES, {"keys": keys}):
                releases[row.skill_id].append(row)
        return [_rendered(document, releases[document.key]) for document in stale[: len(keys)]]

    def record(
        self, stale: Sequence[StaleDocument], rendered: Sequence[RenderedDocument], *, now: datetime
    ) -> set[str]:
        """Record that documents are in the static tree, and when earlier forms can be removed.

        Returns those of their namespaces that are private when this is recorded. Takes at most as
        many documents as fit into a statement (`catalog.commit.CHUNK`).

        A skill that has changed since `stale` was read stays stale. If another sequencer has
        recorded a newer document meanwhile, this one may have replaced it in the tree, so the skill
        becomes stale again.
        """
        keys = [document.key for document in stale]
        locked = select(table.c.skill_id, table.c.rendered).where(table.c.skill_id.in_(keys))
        spaces = {document.skill.namespace for document in stale}
        private = select(namespace.c.name).where(
            namespace.c.name.in_(sorted(spaces)), namespace.c.private.is_(True)
        )
        with self.database.writing() as connection:
            rows = connection.execute(locked.order_by(table.c.skill_id).with_for_update())
            before = {row.skill_id: row.rendered for row in rows}
            newer, others = list[tuple[StaleDocument, RenderedDocument]](), list[int]()
            for pair in zip(stale, rendered, strict=True):
                key, wanted = pair[0].key, pair[0].wanted
                if before.get(key, wanted) < wanted:
                    newer.append(pair)
                else:
                    others.append(key)
            _record_newer(connection, newer, now)
            if others:
                of_others = update(table).where(table.c.skill_id.in_(others))
                connection.execute(of_others.values(wanted=table.c.wanted + 1))
            return set(connection.scalars(private))


_STALE = (
    select(
        table.c.skill_id, table.c.wanted, table.c.digest, skill.c.namespace, skill.c.name,
        namespace.c.private,
    )
    .join(skill, skill.c.id == table.c.skill_id)
    .join(namespace, namespace.c.name == skill.c.namespace)
    .where(table.c.rendered < table.c.wanted)
    .order_by(table.c.skill_id)
    .limit(bindparam("most", type_=Integer))
)  # fmt: skip
_SIZES = (
    select(
        release.c.skill_id,
        (
            octet_length(release_entry.c.document)
            + octet_length(release.c.yank_reason)
            + octet_length(release.c.quarantine_reason)
        ).label("size"),
    )
    .join(release_entry, release_entry.c.release_id == release.c.id)
    .join(log_leaf, log_leaf.c.release_id == release.c.id)
    .where(
        release.c.skill_id.in_(bindparam("keys", expanding=True)),
        log_leaf.c.kind == PUBLISH,
        log_leaf.c.position.is_not(None),
    )
)
"""The skills of releases that have a position, and the sizes of their texts."""
_RELEASES = _SIZES.with_only_columns(
    release.c.skill_id, release_entry.c.document, log_leaf.c.position, release.c.published_at,
    release.c.yanked, release.c.yank_reason, release.c.quarantined, release.c.quarantine_reason,
)  # fmt: skip
_FIRST_SIZES = _SIZES.order_by(release.c.skill_id).limit(bindparam("most", type_=Integer))


def _first_keys(connection: Connection, keys: list[int]) -> list[int]:
    """The first of these skills, in order, whose releases fit into a batch; at least one."""
    if len(keys) == 1:
        return keys
    room = _BATCH_BYTES
    with connection.execute(_FIRST_SIZES, {"keys": keys, "most": _ROWS + 1}) as found:
        for count, row in enumerate(found, 1):
            room -= row.size
            if room < 0 or count > _ROWS:
                return [key for key in keys if key < row.skill_id] or keys[:1]
    return keys


def _rendered(document: StaleDocument, releases: Sequence[Any]) -> RenderedDocument:
    entries = [full_entry(row.document, row, row.position) for row in releases]
    body = index_document(document.skill, entries)
    return RenderedDocument(document.skill, Digest.of(body), body)


def static_path(name: SkillName, digest: Digest | None = None) -> str:
    """The path of an index document in the static tree, or of its immutable form."""
    form = f"/{digest.hex}" if digest else ""
    return f"index/{name.namespace}/{name.name}{form}.json"


def _paths_of(name: SkillName, digest: Digest) -> set[str]:
    return {static_path(name), static_path(name, digest)}


def _record_newer(
    connection: Connection, newer: Sequence[tuple[StaleDocument, RenderedDocument]], now: datetime
) -> None:
    """Record documents that are newer than what the catalogue has."""
    if not newer:
        return
    rows = [
        {
            "skill_id": stale.key,
            "rendered": stale.wanted,
            "digest": str(rendered.digest),
            "body": rendered.body.decode(),
            "rendered_at": now,
        }
        for stale, rendered in newer
    ]
    update_rows(connection, table, "skill_id", rows)
    _replace(connection, [pair for pair in newer if not pair[0].private], now)


def _replace(
    connection: Connection, newer: Sequence[tuple[StaleDocument, RenderedDocument]], now: datetime
) -> None:
    """Note that the immutable forms of earlier documents were replaced, and these are used."""
    paths = [static_path(stale.skill, rendered.digest) for stale, rendered in newer]
    connection.execute(delete(replaced_file).where(replaced_file.c.path.in_(paths)))
    replaced = [
        static_path(stale.skill, stale.replaced)
        for stale, rendered in newer
        if stale.replaced is not None and stale.replaced != rendered.digest
    ]
    noted = select(replaced_file.c.path).where(replaced_file.c.path.in_(replaced))
    known = set(connection.scalars(noted)) if replaced else set()
    rows = [{"path": path, "replaced_at": now} for path in replaced if path not in known]
    if rows:
        insert_new(connection, replaced_file, *rows)
