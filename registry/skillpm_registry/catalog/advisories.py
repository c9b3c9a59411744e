"""Reading and writing advisories in the catalogue."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, inspect, select, update

from skillpm.errors import SpecError
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm_registry.catalog.rows import text_of
from skillpm_registry.db.engine import Database
from skillpm_registry.errors import RegistryCorruptError
from skillpm_registry.tables import advisory as table

TEXT_LIMIT = 256_000_000
"""The largest number of characters of all advisories together, which bounds memory."""


@dataclass(frozen=True, slots=True)
class Advisories:
    """The advisories of one registry."""

    database: Database

    def all(self) -> list[Advisory]:
        """All advisories, also withdrawn ones, in the order of their identifiers.

        One query, with a row for each advisory.
        """
        query = select(table.c.document).order_by(table.c.id)
        with self.database.reading() as connection:
            # A read-only registry may have an older schema, without this table.
            if not inspect(connection).has_table(table.name):
                return []
            return [self._read(document) for document in self._limited(connection.scalars(query))]

    def find(self, identifier: str) -> Advisory | None:
        """The advisory with this identifier, or None. One query with at most one row."""
        query = select(table.c.document).where(table.c.id == identifier)
        with self.database.reading() as connection:
            document = connection.scalar(query)
        return None if document is None else self._read(document)

    def put(self, advisory: Advisory, *, now: datetime) -> None:
        """Insert an advisory, or replace an earlier version of it."""
        time, document = now.astimezone(UTC), advisory.canonical().decode()
        existing = select(table.c.id).where(table.c.id == advisory.id)
        values = {"document": document, "changed_at": time}
        with self.database.writing() as connection:
            if connection.scalar(existing) is None:
                values |= {"id": advisory.id, "published_at": time}
                connection.execute(insert(table).values(values))
            else:
                connection.execute(update(table).where(table.c.id == advisory.id).values(values))

    def _limited(self, documents: Iterable[object]) -> Iterator[object]:
        characters = 0
        for document in documents:
            characters += len(document) if isinstance(document, str) else 0
            if characters > TEXT_LIMIT:
                raise RegistryCorruptError(
                    self.database.place, f"its advisories have more than {TEXT_LIMIT} characters"
                )
            yield document

    def _read(self, document: object) -> Advisory:
        try:
            document_bytes = text_of(document).encode()
            (advisory,) = parse_advisories(document_bytes, "an advisory of the catalogue")
        except (SpecError, ValueError) as problem:
            raise RegistryCorruptError(self.database.place, str(problem)) from problem
        return advisory
