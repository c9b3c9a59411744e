"""What the catalogue is asked and told: releases in and out of SQL."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
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
    PackRow,
    Words,
    folded,
    listed,
    release_of,
    skill_of,
    values_of,
)
from skillpm_registry.db.engine import Database
from skillpm_registry.errors import RegistryCorruptError
from skillpm_registry.tables import blob, release, release_blob, skill

SEARCH_LIMIT = 500
ROWS_LIMIT = 1_000_000
TEXT_LIMIT = 256_000_000
"""What is read of a registry at once, in rows and in characters: memory for what they become."""
T = TypeVar("T")
_CHUNK = 900  # One parameter for each stays under the 999 that older SQLite takes.


@dataclass(frozen=True, slots=True)
class Catalog:
    """The releases of one registry."""

    database: Database

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills, yanked ones too, by version; unknown skills are absent.

        One query, however many skills there are: a row a release.
        """
        with self.database.reading() as connection:
            found = self._read(connection, _listed_of(skills))
        by_skill: dict[SkillName, list[Release]] = {}
        for each in found:
            by_skill.setdefault(each.skill, []).append(each)
        return {
            name: tuple(sorted(by_skill[name], key=lambda each: each.version.key))
            for name in sorted(by_skill)
        }

    def find(self, name: SkillName, version: Version) -> Release | None:
        """One release, if it is here. A row or none."""
        query = listed().where(
            skill.c.namespace == name.namespace,
            skill.c.name == name.name,
            release.c.version == str(version),
        )
        with self.database.reading() as connection:
            return next(iter(self._read(connection, query)), None)

    def search(self, wanted: str) -> list[Release]:
        """The latest release that is not yanked, of each skill where it has all words of `wanted`.

        Words match parts of the name, the summary and the capabilities' names, whatever their
        case. The latest is the highest; a prerelease only where there is nothing else. One query
        finds the releases that match (a row each), then `releases` lists their skills.
        """
        matching = listed().where(~release.c.yanked, _has_words(wanted))
        with self.database.reading() as connection:
            matching_releases = self._read(connection, matching)
        matched = {str(each.digest) for each in matching_releases}
        found = self.releases({each.skill for each in matching_releases})
        latest = (_latest(releases) for releases in found.values())
        return [each for each in latest if each is not None and str(each.digest) in matched]

    def skills(self) -> list[SkillName]:
        """The names of all skills, sorted. A row a skill."""
        with self.database.reading() as connection:
            query = select(skill.c.namespace, skill.c.name).limit(ROWS_LIMIT)
            words = Words()
            with self._checked():
                return sorted(skill_of(row, words) for row in connection.execute(query))

    def knows_blob(self, digest: Digest) -> bool:
        """Whether any release was published with this blob. One row."""
        with self.database.reading() as connection:
            return bool(connection.scalar(select(exists().where(blob.c.digest == str(digest)))))

    def add(self, pack: PackRow, *, now: datetime) -> None:
        """Enter a release with all that belongs to it, in one transaction."""
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
        """Hide a release, if it is here; the reason given last stands, and the first time."""
        since = func.coalesce(release.c.yanked_at, now.astimezone(UTC))
        self._mark(name, version, {"yanked": True, "yank_reason": reason, "yanked_at": since})

    def unyank(self, name: SkillName, version: Version) -> None:
        """Show a release again, if it is here."""
        self._mark(name, version, {"yanked": False, "yank_reason": "", "yanked_at": None})

    def _mark(self, name: SkillName, version: Version, values: Mapping[str, Any]) -> None:
        marked = update(release).where(
            release.c.skill_id == _id_of(name).scalar_subquery(),
            release.c.version == str(version),
        )
        with self.database.writing() as connection:
            connection.execute(marked.values(values))

    def _read(self, connection: Connection, query: Select[Any]) -> list[Release]:
        words, characters, found = Words(), 0, list[Release]()
        with self._checked():
            for row in connection.execute(query):
                characters += sum(len(value) for value in row if isinstance(value, str | bytes))
                if len(found) >= ROWS_LIMIT or characters > TEXT_LIMIT:
                    raise SpecError(
                        f"a question has more than {ROWS_LIMIT} releases, or {TEXT_LIMIT} "
                        "characters, for an answer"
                    )
                found.append(release_of(tuple(row), words))
        return found

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except SpecError as problem:
            raise RegistryCorruptError(self.database.folder, problem.message) from problem


def _listed_of(skills: Collection[SkillName]) -> Select[Any]:
    # The names are one JSON parameter, a table that is joined: SQLite takes few parameters where
    # it is old, and uses no index for `(namespace, name) IN (…)`.
    pairs = json.dumps([[name.namespace, name.name] for name in sorted(set(skills))])
    asked = func.json_each(pairs).table_valued("value", name="asked")
    is_asked = and_(
        skill.c.namespace == func.json_extract(asked.c.value, "$[0]"),
        skill.c.name == func.json_extract(asked.c.value, "$[1]"),
    )
    return listed().join(asked, is_asked)


def _has_words(wanted: str) -> ColumnElement[bool]:
    if len(wanted) > SEARCH_LIMIT:
        raise SpecError(f"the text to search is longer than {SEARCH_LIMIT} characters")
    words = dict.fromkeys(folded(wanted).split())
    found = (release.c.search_text.contains(word, autoescape=True) for word in words)
    return and_(true(), *found)


def _latest(releases: Sequence[Release]) -> Release | None:
    live = (each for each in releases if not each.yanked)
    return max(live, key=lambda each: (not each.version.is_prerelease, each.version), default=None)


def _add_blobs(connection: Connection, sizes: Mapping[Digest, int]) -> None:
    """Enter the blobs that are new. One query for each 900: a row for each that is known."""
    known: set[str] = set()
    for chunk in _chunks([str(digest) for digest in sizes]):
        known.update(connection.scalars(select(blob.c.digest).where(blob.c.digest.in_(chunk))))
    sized = ((str(digest), size) for digest, size in sizes.items())
    new = [{"digest": digest, "size": size} for digest, size in sized if digest not in known]
    if new:  # SQLAlchemy takes an empty list for one row of defaults.
        connection.execute(insert(blob), new)


def _id_of(name: SkillName) -> Select[int]:
    return select(skill.c.id).where(skill.c.namespace == name.namespace, skill.c.name == name.name)


def _skill_id(connection: Connection, name: SkillName) -> int:
    """The skill's key; the skill is entered where it is new."""
    key = connection.scalar(_id_of(name))
    if key is None:
        values = {"namespace": name.namespace, "name": name.name}
        connection.execute(insert(skill).values(values))
        key = connection.scalars(_id_of(name)).one()
    return key


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
