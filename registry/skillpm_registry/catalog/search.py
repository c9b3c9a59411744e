"""Search over one row for each skill, on both databases (contract, section 7)."""

from dataclasses import dataclass
from datetime import datetime

from skillpm_registry.catalog.actor import Actor
from skillpm_registry.db.engine import Database

CANDIDATES = 1000
"""The largest number of matching skills that are ranked."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A skill that a search found, by its latest release."""

    skill: str
    version: str
    digest: str
    base: str
    summary: str
    license: str | None
    capabilities: tuple[str, ...]
    size: int


class Search:
    """Search in a catalogue."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(
        self, text: str, actor: Actor, *, limit: int = 50, offset: int = 0
    ) -> list[SearchResult]:
        """The best matches first.

        `text` has words and filters: `base:sha256:…` or `base:NAME`, `license:NAME`,
        `capability:NAME`. Each word matches whole words, beginnings of words, and parts of names.
        Similar names are searched only if nothing matches. An empty text lists the newest skills.
        Raises `SpecError` for a text of more than 500 characters.
        """
        raise NotImplementedError

    def rebuild(self, *, now: datetime) -> int:
        """Count dependents and order the candidates again. Returns the number of skills."""
        raise NotImplementedError
