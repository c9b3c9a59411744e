"""Index documents: rendered from releases, and read as they were last rendered."""

from dataclasses import dataclass

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.db.engine import Database


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """The index document of a skill: the form of `skillpm.spec.served.IndexDocument`."""

    skill: SkillName
    digest: Digest
    body: bytes


class Documents:
    """The rendered index documents of a catalogue."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, skill: SkillName, actor: Actor) -> RenderedDocument | None:
        """The current document. None if the skill is unknown or the actor may not read it."""
        raise NotImplementedError

    def may_read_blob(self, digest: Digest, actor: Actor) -> bool:
        """Whether a blob is live, and the actor has uploaded it or may read a release with it."""
        raise NotImplementedError

    def namespaces(self) -> list[str]:
        """The public namespaces, sorted."""
        raise NotImplementedError
