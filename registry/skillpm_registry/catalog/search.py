"""Search over one row for each skill, on both databases (contract, section 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    column,
    select,
    table,
    text,
)

from skillpm_registry.catalog.actor import Actor, may_read
from skillpm_registry.catalog.searchrows import rebuild_rows
from skillpm_registry.catalog.similar import SHORTEST, errors_between, is_similar, pieces
from skillpm_registry.catalog.words import parse_search, split_words
from skillpm_registry.db.engine import Database
from skillpm_registry.tables import search_row as row

CANDIDATES = 1000
"""The largest number of matching skills that are ranked."""
_FULL_TEXT = table("search_words", column("rowid"), column("search_words"))
_SHOWN = (row.c.place, row.c.name, row.c.result)
_JOINERS = ("-", "_", ".", "")


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
        self._terms = _PostgresTerms() if database.is_postgres else _SqliteTerms()

    def find(
        self, wanted: str, actor: Actor, *, limit: int = 50, offset: int = 0
    ) -> list[SearchResult]:
        """The best matches first.

        `wanted` has words and filters: `base:sha256:…` or `base:NAME`, `license:NAME`,
        `capability:NAME`. Each word matches whole words, beginnings of words, and parts of names.
        Similar names are searched only if nothing matches. An empty text lists the newest skills.
        Raises `SpecError` for a text of more than 500 characters.
        """
        words, filters = parse_search(wanted)
        visible = may_read(row.c.namespace, actor)
        with self.database.reading() as connection:
            if not words and not filters:
                newest = select(row.c.result).where(visible)
                query = newest.order_by(row.c.published_at.desc(), row.c.skill_id.desc())
            else:
                beginnings = [self._terms.beginning.format(word) for word in words]
                matching = self._matching(filters, beginnings)
                query = _ranked(matching.where(visible).limit(CANDIDATES), words)
            found = connection.scalars(query.limit(limit).offset(offset)).all()
            if not found and not offset and words:
                found = self._similar(connection, words, filters, visible, limit)
        return [_result_of(result) for result in found]

    def rebuild(self, *, now: datetime) -> int:
        """Count dependents and order the candidates again. Returns the number of skills."""
        del now
        with self.database.writing() as connection:
            return rebuild_rows(connection)

    def _matching(self, filters: Sequence[str], terms: Sequence[str]) -> Select[Any]:
        wholes = [self._terms.whole.format(word) for word in filters]
        return self._terms.matching(self._terms.both.join([*wholes, *terms]))

    def _similar(
        self,
        connection: Connection,
        words: Sequence[str],
        filters: Sequence[str],
        visible: ColumnElement[bool],
        limit: int,
    ) -> list[Mapping[str, Any]]:
        """The results with words like these in their names, nearest first."""
        if any(len(word) < SHORTEST for word in words):
            return []
        parts = [
            self._terms.either.join(self._terms.beginning.format(piece) for piece in pieces(word))
            for word in words
        ]
        matching = self._matching(filters, [f"({part})" for part in parts])
        names = (row.c.place, row.c.namespace, row.c.name)
        query = matching.with_only_columns(*names, maintain_column_froms=True).where(visible)
        near = list[tuple[int, int]]()
        for candidate in connection.execute(query.limit(CANDIDATES)):
            own = split_words(f"{candidate.namespace} {candidate.name}")
            if all(is_similar(word, own) for word in words):
                errors = sum(min(errors_between(word, name, 2) for name in own) for word in words)
                near.append((errors, candidate.place))
        places = [place for _, place in sorted(near)[:limit]]
        results = select(row.c.place, row.c.result).where(row.c.place.in_(places))
        by_place = {found.place: found.result for found in connection.execute(results)}
        return [by_place[place] for place in places]


class _SqliteTerms:
    """Terms of FTS5. SQLite returns rows in the order of their places, and stops at the limit."""

    both = " AND "
    either = " OR "
    whole = '"{}"'
    beginning = '"{}"*'

    def matching(self, terms: str) -> Select[Any]:
        """All rows that have the terms."""
        joined = select(*_SHOWN).join_from(_FULL_TEXT, row, row.c.place == _FULL_TEXT.c.rowid)
        matching = _FULL_TEXT.c.search_words.op("MATCH")(terms)
        return joined.where(matching).order_by(_FULL_TEXT.c.rowid)


class _PostgresTerms:
    """Terms of `tsquery`.

    PostgreSQL returns rows in the order in which they were inserted, and stops at the limit; it
    would read all matching rows to sort them.
    """

    both = " & "
    either = " | "
    whole = "'{}'"
    beginning = "'{}':*"

    def matching(self, terms: str) -> Select[Any]:
        """All rows that have the terms."""
        condition = text("word_vector @@ CAST(:terms AS tsquery)").bindparams(terms=terms)
        return select(*_SHOWN).where(condition)


def _ranked(candidates: Select[Any], words: Sequence[str]) -> Select[Any]:
    """Order candidates: names that are the words, names that begin with them, then by place."""
    found = candidates.subquery()
    names = [joiner.join(words) for joiner in _JOINERS]
    rank = case(
        (found.c.name.in_(names), 0),
        (found.c.name.startswith(words[0] if words else "", autoescape=True), 1),
        else_=2,
    )
    return select(found.c.result).order_by(rank, found.c.place)


def _result_of(result: Mapping[str, Any]) -> SearchResult:
    return SearchResult(**{**result, "capabilities": tuple(result["capabilities"])})
