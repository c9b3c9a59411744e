"""Checks as documents: how they are parsed, their limits, and the kinds judged in this process."""

from typing import Any

import pytest

from skillpm.checks.check import ANSWER_LIMIT, LocalCheck
from skillpm.checks.kinds import CHECK_LIMIT, KINDS, parse_check, to_plain
from skillpm.errors import SpecError
from skillpm.spec import check_kinds

SQL = {
    "schema": "CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT)",
    "rows": {"staff": [[1, "Ann"]]},
    "gold": "SELECT name FROM staff",
}
EXAMPLES: list[dict[str, Any]] = [
    {"equals": "412"},
    {"equals": {"text": "Yes", "ignore_case": True}},
    {"number": 412},
    {"number": {"value": 3.14, "tolerance": 0.01}},
    {"regex": "^[0-9]+$"},
    {"regex": {"pattern": "a|b", "match": "full"}},
    {"json_schema": {"type": "object", "properties": {"schema": {"type": "string"}}}},
    {"rules": {"max_words": 20, "contains": "x", "case": "lower"}},
    {"sql": SQL},
    {"reward": {"model": "./judge", "at_least": 0.5}},
    {"python": "assert f(1) == 2"},
    {"command": ["grep", "-q", "x"]},
]


def passes(plain: dict[str, Any], answer: str) -> bool:
    check = parse_check(plain)
    assert isinstance(check, LocalCheck)
    return check.verdict(answer).passed


def problems(plain: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parse_check(plain, "the check")
    return caught.value.message


@pytest.mark.parametrize("plain", EXAMPLES, ids=lambda plain: next(iter(plain)))
def test_parse_and_print_are_inverse(plain: dict[str, Any]) -> None:
    check = parse_check(plain)
    assert list(to_plain(check)) == list(plain)
    assert parse_check(to_plain(check)) == check


def test_kinds_that_travel_are_those_of_the_documents() -> None:
    assert KINDS.keys() == check_kinds.TRAVELLING | check_kinds.LOCAL
    assert not check_kinds.TRAVELLING & check_kinds.LOCAL


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        ({"nummber": 1}, "did you mean `number`?"),
        ({"bleu": 1}, "expected one of command, equals"),
        ({}, "expected an object with one key"),
        ({"equals": "a", "number": 1}, "found an object of 2 keys"),
        ("412", "expected an object with one key"),
        ({"equals": 412}, "equals: expected text, found the number 412"),
        ({"equals": "  "}, "equals: expected text of the form"),
        ({"equals": {"text": "a", "ignorecase": True}}, "did you mean `ignore_case`?"),
        ({"number": True}, "number: expected a number, found true"),
        ({"number": "412"}, "expected a number, found the text '412'"),
        ({"number": 10**301}, "expected a number from"),
        ({"number": {"value": 1, "tolerance": 2}}, "tolerance: expected at most 1"),
        ({"regex": "(?=a)b"}, "cannot be matched in linear time"),
        ({"regex": r"(a)\1"}, "cannot be matched in linear time"),
        ({"regex": "a++"}, "cannot be matched in linear time"),
        ({"regex": "("}, "cannot be matched in linear time"),
        ({"regex": "a" * 1001}, "the pattern has 1001 characters; the limit is 1000"),
        ({"regex": "(x{1000}){1000}"}, "cannot be matched in linear time"),
        ({"regex": {"pattern": "a", "match": "start"}}, "match: expected 'search' or 'full'"),
        ({"rules": {}}, "expected at least one rule"),
        ({"rules": {"max_word": 3}}, "did you mean `max_words`?"),
        ({"rules": {"min_words": 5, "max_words": 3}}, "min_words 5 is more than max_words 3"),
        ({"rules": {"case": "snake"}}, "rules: case:"),
        ({"rules": {"contains": ""}}, "expected at least 1 character"),
        ({"python": ""}, "python: expected text of the form"),
        ({"command": []}, "expected at least 1 entry"),
        ({"command": ["a\0b"]}, "without a NUL character"),
        ({"reward": {"model": "a\0"}}, "reward: at_least: missing"),
    ],
)
def test_invalid_check_is_explained(plain: Any, problem: str) -> None:
    assert problem in problems(plain)


def test_large_and_deep_checks_are_refused_by_size() -> None:
    assert f"the limit is {CHECK_LIMIT}" in problems({"equals": "x" * CHECK_LIMIT})
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert "nested deeper than 64 levels" in problems({"equals": deep})
    assert "cannot be written as JSON" in problems({"number": float("nan")})


def test_equals_ignores_white_space_and_the_form_of_unicode() -> None:
    assert passes({"equals": "caf\u00e9 noir"}, " cafe\u0301\n noir ")
    assert not passes({"equals": "Cafe"}, "cafe")
    assert passes({"equals": {"text": "STRASSE", "ignore_case": True}}, "straße")


def test_long_answer_is_wrong_without_being_read() -> None:
    check = parse_check({"regex": "x"})
    assert isinstance(check, LocalCheck)
    verdict = check.verdict("x" * (ANSWER_LIMIT + 1))
    assert not verdict.passed
    assert "the limit is 65536" in verdict.reason
    assert check.verdict("x" * ANSWER_LIMIT).passed


def test_answer_with_unpaired_surrogates_is_judged() -> None:
    assert passes({"regex": "x"}, "x\ud800")
    assert not passes({"equals": "x"}, "x\udfff")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*$", r"(a*)*b", r"(.*.*)*=", r"([a-z]+)*\d"])
def test_patterns_that_explode_elsewhere_take_linear_time(pattern: str) -> None:
    # A backtracking engine would never end.
    assert not passes({"regex": {"pattern": pattern, "match": "full"}}, "a" * 60_000 + "!")


def test_regex_searches_or_matches_fully() -> None:
    assert passes({"regex": "b"}, "abc")
    assert not passes({"regex": {"pattern": "b", "match": "full"}}, "abc")
    assert passes({"regex": {"pattern": "(?i)ABC", "match": "full"}}, " abc\n")


def test_reason_has_no_control_characters() -> None:
    check = parse_check({"rules": {"contains": "\x1b[2J"}})
    assert isinstance(check, LocalCheck)
    assert check.verdict("x").reason.isprintable()


def test_failed_verdict_quotes_only_a_part_of_the_answer() -> None:
    check = parse_check({"equals": "x"})
    assert isinstance(check, LocalCheck)
    assert len(check.verdict("y" * 60_000).reason) < 400


@pytest.mark.parametrize(
    ("rules", "right", "wrong"),
    [
        ({"max_words": 2}, " a  b ", "a b c"),
        ({"min_words": 2}, "a b", "a"),
        ({"words": 2}, "a b", "a b c"),
        ({"chars": 3}, "\nabc ", "abcd"),
        ({"min_chars": 2, "max_chars": 3}, "e\u0301e", "é"),
        ({"lines": 2}, "a\nb\n", "a"),
        ({"max_lines": 1}, "a", "a\nb"),
        ({"case": "lower"}, "abc 1", "aBc"),
        ({"case": "upper"}, "ÄB 1", "Äb"),
        ({"case": "title"}, "The Cat (And) 3 Dogs", "The cat"),
        ({"starts_with": ["Yes", "No"]}, "No.", "Maybe"),
        ({"ends_with": "."}, "Done. ", "Done"),
        ({"contains": ["a", "b"]}, "ab", "a"),
        ({"excludes": ["z"]}, "ab", "az"),
    ],
)
def test_rules(rules: dict[str, Any], right: str, wrong: str) -> None:
    assert passes({"rules": rules}, right)
    assert not passes({"rules": rules}, wrong)
