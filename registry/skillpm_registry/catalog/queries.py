"""Reading and writing releases in the catalogue."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    cast,
    exists,
    func,
    insert,
    select,
    true,
    update,
)

from skillpm.errors import SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version
from skillpm_registry.catalog.rows import (
    CachedParsers,
    PackRow,
    case_folded,
    release_of,
    select_releases,
    skill_of,
    values_of,
)
from skillpm_registry.db.engine import Database
from skillpm_registry.errors import RegistryCorruptError
from skillpm_registry.tables import blob, release, release_blob, skill

SEARCH_LIMIT = 500
"""The largest number of characters of a search."""
ROWS_LIMIT = 1_000_000
TEXT_LIMIT = 256_000_000
"""The largest numbers of rows and characters that a query reads, which bound memory."""
T = TypeVar("T")
_CHUNK = 900  # Older versions of SQLite allow 999 parameters in a query.


@dataclass(frozen=True, slots=True)
class Catalog:
    """The releases of one registry."""

    database: Database

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills, also yanked ones, by skill and in the order of versions.

        Unknown skills are absent. One query for any number of skills, with a row for each release.
        """
        with self.database.reading() as connection:
            releases = self._read(connection, self._releases_of(skills))
        by_skill: dict[SkillName, list[Release]] = {}
        for release_ in releases:
            by_skill.setdefault(release_.skill, []).append(release_)
        return {
            name: tuple(sorted(by_skill[name], key=lambda release_: release_.version.key))
            for name in sorted(by_skill)
        }

    def find(self, name: SkillName, version: Version) -> Release | None:
        """A release, or None. One query with at most one row."""
        query = select_releases(self.database.schema).where(
            skill.c.namespace == name.namespace,
            skill.c.name == name.name,
            release.c.version == str(version),
        )
        with self.database.reading() as connection:
            return next(iter(self._read(connection, query)), None)

    def search(self, wanted: str) -> list[Release]:
        """The latest releases that contain all words of `wanted`, one for each skill.

        A word may be any part of the skill's name, the summary or a capability's name, and its case
        is ignored. Only the latest release of a skill is considered: the highest version that is
        not yanked, and a prerelease only if there are no other versions. One query reads the
        matching releases, a second one all releases of their skills.
        """
        query = select_releases(self.database.schema).where(~release.c.yanked, _has_words(wanted))
        with self.database.reading() as connection:
            matching = self._read(connection, query)
        digests = {str(release_.digest) for release_ in matching}
        by_skill = self.releases({release_.skill for release_ in matching})
        latest = filter(None, map(_latest, by_skill.values()))
        return [release_ for release_ in latest if str(release_.digest) in digests]

    def skills(self) -> list[SkillName]:
        """The names of all skills, sorted. One query, with a row for each skill."""
        with self.database.reading() as connection:
            query = select(skill.c.namespace, skill.c.name).limit(ROWS_LIMIT)
            parsers = CachedParsers()
            with self._checked():
                return sorted(skill_of(row, parsers) for row in connection.execute(query))

    def knows_blob(self, digest: Digest) -> bool:
        """Whether a release was published with this blob. One query with one row."""
        with self.database.reading() as connection:
            return bool(connection.scalar(select(exists().where(blob.c.digest == str(digest)))))

    def add(self, pack: PackRow, *, now: datetime) -> None:
        """Insert a release with its skill and its blobs, in one transaction."""
        with self.database.writing() as connection:
            _add_blobs(connection, pack.sizes)
            values = values_of(pack) | {
                "skill_id": _skill_id(connection, pack.manifest.skill),
                "published_at": now.astimezone(UTC),
            }
            connection.execute(insert(release).values(values))
            of_release = select(release.c.id).where(release.c.digest == str(pack.digest))
            key = connection.scalars(of_release).one()
            parts = [
                {"position": position, "digest": str(part.digest), "media_type": part.media_type}
                for position, part in enumerate((pack.image.config, *pack.image.layers))
            ]
            connection.execute(insert(release_blob).values(release_id=key), parts)

    def yank(self, name: SkillName, version: Version, *, reason: str, now: datetime) -> None:
        """Yank a release, if it exists. A further yank changes the reason but not the time."""
        since = func.coalesce(release.c.yanked_at, now.astimezone(UTC))
        self._update(name, version, {"yanked": True, "yank_reason": reason, "yanked_at": since})

    def unyank(self, name: SkillName, version: Version) -> None:
        """Undo the yank of a release, if it exists."""
        self._update(name, version, {"yanked": False, "yank_reason": "", "yanked_at": None})

    def _update(self, name: SkillName, version: Version, values: Mapping[str, Any]) -> None:
        statement = update(release).where(
            release.c.skill_id == _id_of(name).scalar_subquery(),
            release.c.version == str(version),
        )
        with self.database.writing() as connection:
            connection.execute(statement.values(values))

    def _releases_of(self, skills: Collection[SkillName]) -> Select[Any]:
        # The names are passed as one parameter and joined as a table. Older versions of SQLite
        # allow few parameters, and SQLite uses no index for `(namespace, name) IN (…)`.
        names = sorted(set(skills))
        if self.database.is_postgres:
            halves = [cast([name[half] for name in names], ARRAY(Text)) for half in (0, 1)]
            table = func.unnest(*halves).table_valued("namespace", "name", name="asked")
            asked = table.render_derived()
            columns: tuple[Any, Any] = (asked.c.namespace, asked.c.name)
        else:
            pairs = json.dumps([[name.namespace, name.name] for name in names])
            asked = func.json_each(pairs).table_valued("value", name="asked")
            namespace, name = (func.json_extract(asked.c.value, f"$[{half}]") for half in (0, 1))
            columns = (namespace, name)
        is_asked = and_(skill.c.namespace == columns[0], skill.c.name == columns[1])
        return select_releases(self.database.schema).join(asked, is_asked)

    def _read(self, connection: Connection, query: Select[Any]) -> list[Release]:
        parsers, characters, releases = CachedParsers(), 0, list[Release]()
        with self._checked():
            for row in connection.execute(query):
                characters += sum(len(value) for value in row if isinstance(value, str | bytes))
                if len(releases) >= ROWS_LIMIT or characters > TEXT_LIMIT:
                    raise SpecError(
                        f"a query returned more than {ROWS_LIMIT} releases or {TEXT_LIMIT} "
                        "characters"
                    )
                releases.append(release_of(tuple(row), parsers))
        return releases

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except SpecError as problem:
            raise RegistryCorruptError(self.database.place, problem.message) from problem


def _has_words(wanted: str) -> ColumnElement[bool]:
    if len(wanted) > SEARCH_LIMIT:
        raise SpecError(f"the text to search for is longer than {SEARCH_LIMIT} characters")
    words = dict.fromkeys(case_folded(wanted).split())
    conditions = (release.c.search_text.contains(word, autoescape=True) for word in words)
    return and_(true(), *conditions)


def _latest(releases: Sequence[Release]) -> Release | None:
    available = (release_ for release_ in releases if not release_.yanked)
    return max(
        available,
        key=lambda release_: (not release_.version.is_prerelease, release_.version),
        default=None,
    )


def _add_blobs(connection: Connection, sizes: Mapping[Digest, int]) -> None:
    """Insert the blobs that are new. One query for 900 blobs, with a row for each known blob."""
    known: set[str] = set()
    for chunk in _chunks([str(digest) for digest in sizes]):
        known.update(connection.scalars(select(blob.c.digest).where(blob.c.digest.in_(chunk))))
    sized = ((str(digest), size) for digest, size in sizes.items())
    new = [{"digest": digest, "size": size} for digest, size in sized if digest not in known]
    if new:  # For an empty list, SQLAlchemy would insert one row of defaults.
        connection.execute(insert(blob), new)


def _id_of(name: SkillName) -> Select[int]:
    return select(skill.c.id).where(skill.c.namespace == name.namespace, skill.c.name == name.name)


def _skill_id(connection: Connection, name: SkillName) -> int:
    """The primary key of a skill. Inserts the skill if it is new."""
    key = connection.scalar(_id_of(name))
    if key is None:
        values = {"namespace": name.namespace, "name": name.name}
        connection.execute(insert(skill).values(values))
        key = connection.scalars(_id_of(name)).one()
    return key


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
