from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event

from skillpm.errors import SpecError
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.errors import RegistryCorruptError
from skillpm_registry.service import Registry

MakePack = Callable[..., Any]


def found(registry: Registry, text: str) -> list[str]:
    return [release.ref for release in registry.search(text)]


@contextmanager
def noted(registry: Registry) -> Iterator[list[tuple[str, Any]]]:
    engine = registry._catalog.database.engine
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def test_releases_of_100000_skills_are_listed_in_one_query(
    registry: Registry, make_pack: MakePack
) -> None:
    make_pack().publish(registry)
    names = [SkillName("acme", f"skill{number}") for number in range(100_000)]

    with noted(registry) as statements:
        listed = registry.releases([*names, SkillName("acme", "math")])

    assert [str(name) for name in listed] == ["acme/math"]
    assert len(statements) == 1


def test_names_are_looked_up_by_index(registry: Registry) -> None:
    names = [SkillName.parse(name) for name in ("acme/a", "acme/b", "beta/c")]
    with noted(registry) as statements:
        registry.releases(names)

    ((query, values),) = statements
    with registry._catalog.database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).all()
    assert [row[3] for row in plan if "SCAN" in row[3]] == ["SCAN asked VIRTUAL TABLE INDEX 1:"]


def test_search_finds_parts_of_name_summary_and_capabilities(
    registry: Registry, make_pack: MakePack
) -> None:
    make_pack(skill="acme/math", summary="Adds numbers").publish(registry)
    make_pack(
        skill="acme/words",
        summary="Spells",
        capabilities=[{"name": "spelling-bee", "metric": "accuracy", "value": 0.5}],
    ).publish(registry)

    assert found(registry, "mat") == ["acme/math 1.0.0"]
    assert found(registry, "NUMB") == ["acme/math 1.0.0"]
    assert found(registry, "bee") == ["acme/words 1.0.0"]
    assert found(registry, "acme/") == ["acme/math 1.0.0", "acme/words 1.0.0"]
    assert found(registry, "nothing") == []


def test_search_requires_all_words_in_any_order(registry: Registry, make_pack: MakePack) -> None:
    make_pack(summary="Adds numbers").publish(registry)

    assert found(registry, "numbers  acme adds") == ["acme/math 1.0.0"]
    assert found(registry, "numbers subtracts") == []


def test_search_without_text_lists_all_skills_by_name(
    registry: Registry, make_pack: MakePack
) -> None:
    for name in ("beta/b", "acme/z"):
        make_pack(skill=name).publish(registry)

    assert found(registry, " ") == ["acme/z 1.0.0", "beta/b 1.0.0"]


def test_search_treats_wildcards_as_text(registry: Registry, make_pack: MakePack) -> None:
    make_pack(skill="acme/half", summary="50% of all_things / more").publish(registry)
    make_pack(skill="acme/whole", summary="500 of allXthings").publish(registry)

    for text in ("50%", "all_", "%", "_things", "/ more"):
        assert found(registry, text) == ["acme/half 1.0.0"]


def test_search_ignores_case_beyond_ascii(registry: Registry, make_pack: MakePack) -> None:
    make_pack(summary="ÉTUDES und Straße").publish(registry)

    for text in ("études", "E\u0301tudes", "STRASSE"):
        assert found(registry, text) == ["acme/math 1.0.0"]


def test_search_shows_the_highest_release_and_prereleases_only_alone(
    registry: Registry, make_pack: MakePack
) -> None:
    for version in ("1.2.0", "1.10.0", "2.0.0-rc.1"):
        make_pack(version=version).publish(registry)
    make_pack(skill="acme/new", version="0.1.0-alpha").publish(registry)

    assert found(registry, "") == ["acme/math 1.10.0", "acme/new 0.1.0-alpha"]


def test_search_omits_yanked_releases(
    registry: Registry, make_pack: MakePack, now: datetime
) -> None:
    for version in ("1.0.0", "2.0.0"):
        make_pack(version=version).publish(registry)
    registry.yank(SkillName("acme", "math"), Version.parse("2.0.0"), reason="", now=now)
    assert found(registry, "math") == ["acme/math 1.0.0"]

    registry.yank(SkillName("acme", "math"), Version.parse("1.0.0"), reason="", now=now)
    assert found(registry, "math") == []


def test_search_matches_the_latest_release(registry: Registry, make_pack: MakePack) -> None:
    make_pack(version="1.0.0", summary="Adds").publish(registry)
    make_pack(version="2.0.0", summary="Subtracts").publish(registry)

    assert found(registry, "adds") == []
    assert found(registry, "subtracts") == ["acme/math 2.0.0"]


@pytest.mark.parametrize("text", ["x" * 501, "\ud800"])
def test_search_refuses_long_or_invalid_text(registry: Registry, text: str) -> None:
    with pytest.raises(SpecError):
        registry.search(text)


@pytest.mark.parametrize(
    "damage",
    [
        "requires = 'not JSON'",
        "requires = '5'",
        "requires = '[5]'",
        "requires = '[\"acme\"]'",
        "version = '1.0.0.0'",
        "summary = CAST(x'ff' AS TEXT)",
    ],
)
def test_invalid_row_is_a_corrupt_registry(
    registry: Registry, make_pack: MakePack, damage: str
) -> None:
    make_pack().publish(registry)
    with registry._catalog.database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER release_stays")
        connection.exec_driver_sql(f"UPDATE release SET {damage}")  # noqa: S608 - ours

    with pytest.raises(RegistryCorruptError):
        registry.releases([SkillName("acme", "math")])


def test_publish_refuses_a_summary_that_is_not_unicode(
    registry: Registry, make_pack: MakePack
) -> None:
    with pytest.raises(SpecError):
        make_pack(summary="\ud800").publish(registry)

    assert registry.skills() == []
