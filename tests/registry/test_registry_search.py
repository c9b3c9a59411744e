"""Search on both databases: words, beginnings, parts of names, filters, and typing errors."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from skillpm.errors import SpecError
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.backend import Backend
from skillpm_registry.catalog.actor import ANONYMOUS, LOCAL
from skillpm_registry.catalog.similar import errors_between, pieces
from skillpm_registry.catalog.words import split_words

MakePack = Callable[..., Any]
OTHER = "sha256:" + "cd" * 32
CAPABILITY = {
    "name": "arithmetic", "metric": "accuracy", "value": 0.9, "base_value": 0.1, "samples": 10,
    "probes": None,
}  # fmt: skip

FOUND = {
    "calc": ["beta/calc", "acme/calculator"],
    "calculator": ["acme/calculator", "beta/calc"],
    "CALCULATOR": ["acme/calculator", "beta/calc"],
    "culat": ["acme/calculator"],
    "numb": ["acme/calculator"],
    "umbers": [],
    "large adds": ["acme/calculator"],
    "translate-de": ["acme/translate-de"],
    "größen": ["beta/sql"],
    "acme": ["acme/calculator", "acme/translate-de"],
    "license:mit": ["acme/translate-de"],
    "license:MIT german": ["acme/translate-de"],
    "license:MIT adds": [],
    "license:MI": [],
    "capability:arithmetic": ["acme/calculator"],
    "arith": ["acme/calculator"],
    f"base:{OTHER}": ["beta/calc"],
    "base:tiny calculator": ["acme/calculator", "beta/calc"],
    "calcluator": ["acme/calculator"],
    "trnaslate": ["acme/translate-de"],
    "calculatr": ["acme/calculator"],
    "xalculatoz": ["acme/calculator"],
    "sqll": ["beta/sql"],
    "zzz": [],
    "zzzzzzzz": [],
    "'; DROP TABLE skill --": [],
    '"calc" OR * ^ NEAR(': [],
    "' | 'x':*": [],
    "%_\\": ["beta/sql", "beta/calc", "acme/translate-de", "acme/calculator"],
}
"""What a search for a text finds."""


@pytest.fixture
def found(backend: Backend, make_pack: MakePack) -> Callable[[str], list[str]]:
    """The names that a search finds, in a registry with some skills."""
    base = make_pack().manifest.to_dict()["base"]
    skills: dict[str, dict[str, Any]] = {
        "acme/calculator": {"summary": "Adds large numbers", "capabilities": [CAPABILITY]},
        "acme/translate-de": {"summary": "German to English", "license": "MIT"},
        "beta/calc": {"summary": "A small calculator", "base": {**base, "root": OTHER}},
        "beta/sql": {"summary": "Größenangaben in SQL", "requires": ["acme/translate-de ^1"]},
    }
    for name, changes in skills.items():
        make_pack(skill=name, **changes).publish_to(backend)

    def find(text: str) -> list[str]:
        return [result.skill for result in backend.search.find(text, ANONYMOUS)]

    return find


def test_search_finds_words_and_similar_names(found: Callable[[str], list[str]]) -> None:
    assert {text: found(text) for text in FOUND} == FOUND


def test_result_has_the_latest_release(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0-rc.1"):
        make_pack(version=version, summary=f"Summary {version}").publish_to(backend)

    (result,) = backend.search.find("math", ANONYMOUS)

    assert (result.skill, result.version, result.summary) == (
        "acme/math", "2.0.0", "Summary 2.0.0",
    )  # fmt: skip
    assert backend.search.find("rc", ANONYMOUS) == []
    name = SkillName("acme", "math")
    backend.changes.yank(name, Version.parse("2.0.0"), "", LOCAL, now=now)
    assert backend.search.find("summary", ANONYMOUS)[0].version == "1.0.0"
    backend.changes.yank(name, Version.parse("1.0.0"), "", LOCAL, now=now)
    assert backend.search.find("summary", ANONYMOUS)[0].version == "3.0.0-rc.1"


def test_pages_continue_each_other(found: Callable[[str], list[str]], backend: Backend) -> None:
    every = found("")
    pages = [
        backend.search.find("", ANONYMOUS, limit=2, offset=offset)[number].skill
        for offset in (0, 2)
        for number in (0, 1)
    ]
    assert pages == every
    assert len(every) == 4


def test_rebuild_puts_required_skills_first(
    found: Callable[[str], list[str]], backend: Backend, now: datetime
) -> None:
    before = found("acme")

    assert backend.search.rebuild(now=now) == 4

    assert found("acme") == before[::-1]
    assert found("translate")[0] == "acme/translate-de"
    assert found("größen") == ["beta/sql"]


@pytest.mark.parametrize("text", ["x" * 501, " ".join("abcdefghijklmnopq"), "\ud800"])
def test_long_or_invalid_search_is_refused(backend: Backend, text: str) -> None:
    with pytest.raises(SpecError):
        backend.search.find(text, ANONYMOUS)


@pytest.mark.parametrize(
    ("left", "right", "errors"),
    [("abc", "abc", 0), ("abc", "abd", 1), ("abc", "acb", 1), ("abc", "ab", 1), ("", "abc", 3),
     ("abcd", "badc", 2), ("abc", "xyz", 3)],
)  # fmt: skip
def test_typing_errors_are_counted(left: str, right: str, errors: int) -> None:
    assert errors_between(left, right, 2) == errors
    assert errors_between(right, left, 2) == errors


@pytest.mark.parametrize("word", ["abcd", "abcdef", "calculator", "abcdefghijklmnop"])
def test_word_with_one_typing_error_has_a_piece_of_the_right_word(word: str) -> None:
    for place in range(len(word)):
        wrong = [word[:place] + "_" + word[place + 1 :], word[:place] + word[place + 1 :]]
        if len(word) > 5:
            assert all(any(piece in word for piece in pieces(other)) for other in wrong)


def test_words_are_ascii_and_keep_beginnings() -> None:
    (whole,) = split_words("Größe")
    (beginning,) = split_words("GRÖ")

    assert whole.isascii()
    assert whole.startswith(beginning)
    assert split_words("a-b_c.d a") == ["a", "b", "c", "d"]
