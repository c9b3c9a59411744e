"""Keeping the rows of search: one for each skill, with its latest release."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from skillpm.spec import json
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version
from skillpm_registry.catalog.rows import json_text
from skillpm_registry.catalog.words import words_of_skill
from skillpm_registry.tables import namespace, release, search_row, skill

NEW = 1 << 40
"""The place of a skill that no rebuild has seen is this and its identifier."""
_FORGET = text("INSERT INTO search_words (search_words, rowid, words) VALUES ('delete', :p, :w)")
_INSERT = insert(search_row)
_LOCK = select(skill.c.id).where(skill.c.id == bindparam("of")).with_for_update(key_share=True)
_CURRENT = (
    select(search_row.c.place, search_row.c.words, search_row.c.release_id)
    .where(search_row.c.skill_id == bindparam("of"))
    .with_for_update()
)
_LIVE = select(release.c.id, release.c.version).where(
    release.c.skill_id == bindparam("of"), ~release.c.yanked, ~release.c.quarantined
)
_INDEX = text("INSERT INTO search_words (rowid, words) VALUES (:p, :w)")


class LatestRelease(NamedTuple):
    """A release that a row shows: its key, the values of its columns, and if it is private."""

    key: int
    values: Mapping[str, Any]
    private: bool


def new_row(skill_id: int, skill: SkillName, latest: LatestRelease) -> dict[str, Any]:
    """The row of a skill that has none. Call `index_row` after it is inserted."""
    fixed = {"skill_id": skill_id, "place": NEW + skill_id, "dependents": 0}
    return {**fixed, **_values(latest, skill)}


def index_row(connection: Connection, row: Mapping[str, Any]) -> None:
    """Index the words of a new row on SQLite. PostgreSQL computes the column `word_vector`."""
    if connection.dialect.name == "sqlite":
        connection.execute(_INDEX, {"p": row["place"], "w": row["words"]})


def refresh_row(
    connection: Connection, skill_id: int, skill: SkillName, published: LatestRelease | None = None
) -> None:
    """Make the row of a skill that of its latest release, or remove it if there is none.

    The latest release is the highest version that is live; a prerelease only if there is no other.
    Reads the versions of the skill. `published` is the release that this transaction has inserted.
    """
    # Another change of the skill's releases at the same time waits here, and reads after that. The
    # row of search may not exist.
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"of": skill_id})
    current = connection.execute(_CURRENT, {"of": skill_id}).first()
    latest = _latest(connection, skill_id)
    if latest == (None if current is None else current.release_id):
        return
    if latest is None:
        connection.execute(delete(search_row).where(search_row.c.skill_id == skill_id))
        if connection.dialect.name == "sqlite" and current is not None:
            connection.execute(_FORGET, {"p": current.place, "w": current.words})
        return
    shown = published
    if shown is None or shown.key != latest:
        shown = _read(connection, latest, skill)
    if current is None:
        row = new_row(skill_id, skill, shown)
        connection.execute(_INSERT, row)
        index_row(connection, row)
        return
    values = _values(shown, skill)
    changed = update(search_row).where(search_row.c.skill_id == skill_id)
    connection.execute(changed.values(values))
    if connection.dialect.name == "sqlite":
        connection.execute(_FORGET, {"p": current.place, "w": current.words})
        connection.execute(_INDEX, {"p": current.place, "w": values["words"]})


def _latest(connection: Connection, skill_id: int) -> int | None:
    live = connection.execute(_LIVE, {"of": skill_id})
    versions = [(Version.parse(row.version), row.id) for row in live]
    if not versions:
        return None
    return int(max(versions, key=lambda pair: (not pair[0].is_prerelease, pair[0].key))[1])


def _read(connection: Connection, key: int, skill: SkillName) -> LatestRelease:
    row = connection.execute(select(release).where(release.c.id == key)).mappings().one()
    private = select(namespace.c.private).where(namespace.c.name == skill.namespace)
    values = {str(column): value for column, value in row.items()}
    return LatestRelease(key, values, bool(connection.scalar(private)))


def _values(latest: LatestRelease, skill: SkillName) -> dict[str, Any]:
    row = latest.values
    filters = [("base", row["base_root"]), ("base", row["base_name"])]
    filters += [("license", row["license"])] if row["license"] else []
    filters += [("capability", name) for name in row["capabilities"]]
    texts = [str(skill), row["summary"], *row["capabilities"], row["base_name"]]
    return {
        "release_id": latest.key,
        "namespace": skill.namespace,
        "name": skill.name,
        "words": words_of_skill(skill.name, texts, filters),
        "private": latest.private,
        "result": {
            "skill": str(skill),
            "version": row["version"],
            "digest": row["digest"],
            "base": row["base_root"],
            "summary": row["summary"],
            "license": row["license"],
            "capabilities": row["capabilities"],
            "size": row["size"],
        },
        "published_at": row["published_at"],
    }


def rebuild_rows(connection: Connection) -> int:
    """Count the dependents of each skill, and number all rows by dependents, then by age.

    A dependent is a skill whose latest release requires the skill. The rows are inserted again in
    this order, because PostgreSQL reads candidates in the order in which rows were inserted.
    """
    if connection.dialect.name == "postgresql":
        # Publishers wait, also those that would lock a row; readers see the old rows until this
        # transaction ends.
        connection.execute(text("LOCK TABLE search_row IN EXCLUSIVE MODE"))
    rows = [dict(row._mapping) for row in connection.execute(select(search_row))]  # noqa: SLF001 - documented API of SQLAlchemy
    required = select(json_text(release.c.requires)).join(
        search_row, search_row.c.release_id == release.c.id
    )
    counts = _dependents(connection.scalars(required))
    for row in rows:
        row["dependents"] = counts.get(f"{row['namespace']}/{row['name']}", 0)
    rows.sort(key=lambda row: (-row["dependents"], row["skill_id"]))
    for place, row in enumerate(rows, start=1):
        row["place"] = place
    connection.execute(delete(search_row))
    if rows:
        connection.execute(insert(search_row), rows)
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO search_words (search_words) VALUES ('rebuild')"))
    else:
        connection.execute(text("ANALYZE search_row"))
    return len(rows)


def _dependents(requirements: Iterable[str]) -> Counter[str]:
    """How many lists of requirements, as JSON texts, name each skill."""
    counts: Counter[str] = Counter()
    for text_ in requirements:
        listed = json.parse(text_.encode(), "a release's requirements")
        counts.update({str(Requirement.parse(requirement).skill) for requirement in listed})
    return counts
