"""Index documents: rendered from releases, and read as they were last rendered."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm_registry.catalog.actor import Actor, may_read
from skillpm_registry.catalog.commit import chunks
from skillpm_registry.catalog.entries import full_entry, index_document
from skillpm_registry.catalog.insert import insert_new
from skillpm_registry.catalog.leaves import PUBLISH
from skillpm_registry.catalog.presence import present
from skillpm_registry.db.engine import Database
from skillpm_registry.tables import (
    LIVE,
    blob,
    log_leaf,
    namespace,
    release,
    release_entry,
    replaced_file,
    skill,
)
from skillpm_registry.tables import index_document as table


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

    def may_read_blob(self, digest: Digest, actor: Actor) -> bool:
        """Whether a blob is live, and the actor has uploaded it or may read a release with it."""
        live = select(blob.c.digest).where(blob.c.digest == str(digest), blob.c.state == LIVE)
        with self.database.reading() as connection:
            if connection.scalar(live) is None:
                return False
            return actor.is_admin or bool(present(connection, [str(digest)], actor))

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
        query = (
            select(
                table.c.skill_id, table.c.wanted, table.c.digest, skill.c.namespace, skill.c.name,
                namespace.c.private,
            )
            .join(skill, skill.c.id == table.c.skill_id)
            .join(namespace, namespace.c.name == skill.c.namespace)
            .where(table.c.rendered < table.c.wanted)
            .order_by(table.c.skill_id)
            .limit(limit)
        )  # fmt: skip
        with self.database.reading() as connection:
            return [
                StaleDocument(
                    row.skill_id,
                    SkillName(row.namespace, row.name),
                    bool(row.private),
                    row.wanted,
                    None if row.digest is None else Digest(row.digest),
                )
                for row in connection.execute(query)
            ]

    def render(self, stale: StaleDocument) -> RenderedDocument:
        """The document of a skill as the catalogue is now: all releases with a position."""
        with self.database.reading() as connection:
            body = render_document(connection, stale.key, stale.skill)
        return RenderedDocument(stale.skill, Digest.of(body), body)

    def record(self, stale: StaleDocument, rendered: RenderedDocument, *, now: datetime) -> bool:
        """Record that a document is in the static tree, and when its earlier form can be removed.

        Returns whether its namespace is private when this is recorded.

        A skill that has changed since `stale` was read stays stale. If another sequencer has
        recorded a newer document meanwhile, this one may have replaced it in the tree, so the skill
        becomes stale again.
        """
        values = {
            "rendered": stale.wanted,
            "digest": str(rendered.digest),
            "body": rendered.body.decode(),
            "rendered_at": now,
        }
        of_skill = update(table).where(table.c.skill_id == stale.key)
        with self.database.writing() as connection:
            newer = of_skill.where(table.c.rendered < stale.wanted).values(values)
            if not connection.execute(newer).rowcount:
                connection.execute(of_skill.values(wanted=table.c.wanted + 1))
            elif not stale.private:
                _replace(connection, stale, rendered, now)
            private = select(namespace.c.private).where(namespace.c.name == stale.skill.namespace)
            return bool(connection.scalar(private))


def render_document(connection: Connection, key: int, name: SkillName) -> bytes:
    """Render the index document of a skill. One query, with a row for each release."""
    query = (
        select(
            release_entry.c.document, log_leaf.c.position, release.c.published_at,
            release.c.yanked, release.c.yank_reason, release.c.quarantined,
            release.c.quarantine_reason,
        )
        .join(release_entry, release_entry.c.release_id == release.c.id)
        .join(log_leaf, log_leaf.c.release_id == release.c.id)
        .where(
            release.c.skill_id == key,
            log_leaf.c.kind == PUBLISH,
            log_leaf.c.position.is_not(None),
        )
    )  # fmt: skip
    entries = [full_entry(row.document, row, row.position) for row in connection.execute(query)]
    return index_document(name, entries)


def static_path(name: SkillName, digest: Digest | None = None) -> str:
    """The path of an index document in the static tree, or of its immutable form."""
    form = f"/{digest.hex}" if digest else ""
    return f"index/{name.namespace}/{name.name}{form}.json"


def _paths_of(name: SkillName, digest: Digest) -> set[str]:
    return {static_path(name), static_path(name, digest)}


def _replace(
    connection: Connection, stale: StaleDocument, rendered: RenderedDocument, now: datetime
) -> None:
    """Note that the immutable form of the earlier document was replaced, and this one is used."""
    paths = [static_path(stale.skill, rendered.digest)]
    connection.execute(delete(replaced_file).where(replaced_file.c.path.in_(paths)))
    if stale.replaced is not None and stale.replaced != rendered.digest:
        row = {"path": static_path(stale.skill, stale.replaced), "replaced_at": now}
        known = select(replaced_file.c.path).where(replaced_file.c.path == row["path"])
        if connection.scalar(known) is None:
            insert_new(connection, replaced_file, row)
