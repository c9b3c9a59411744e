"""`json_schema`: what a schema may contain, and bounded work on hostile schemas and answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from skillpm.checks.json_schema import DIALECT
from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check
from skillpm.errors import SpecError

PERSON = {
    "$schema": DIALECT,
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True},
        "pattern": {"type": "integer"},
    },
    "patternProperties": {"^x-": {"type": "integer"}},
    "additionalProperties": False,
    "required": ["name"],
    "$defs": {"tag": {"enum": ["a", "b", 1, {"$ref": "data"}]}},
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


def passes(judge: Judge, schema: dict[str, Any], answer: str) -> bool:
    return judge.verdicts([(parse_check({"json_schema": schema}), answer)])[0].passed


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"name": "Ann"}', True),
        ('```json\n{"name": "Ann", "tags": ["a", "b"], "x-1": 2}\n```', True),
        ('{"name": "Ann", "pattern": 3}', True),
        ('{"name": "ann"}', False),
        ('{"name": "Ann", "tags": ["a", "a"]}', False),
        ('{"name": "Ann", "tags": [1, 1.0]}', False),
        ('{"name": "Ann", "tags": ["c"]}', False),
        ('{"name": "Ann", "x-1": "2"}', False),
        ('{"name": "Ann", "other": 1}', False),
        ("{}", False),
        ('{"name": "Ann", "name": "Bob"}', False),
        ('{"name": NaN}', False),
        ("not JSON", False),
        ("[" * 60_000, False),
        ("[" * 100 + "]" * 100, False),
        ('{"name": "A' + "a" * 60_000 + '"}', True),
    ],
    ids=range(16),
)
def test_answer_is_validated(judge: Judge, answer: str, *, right: bool) -> None:
    assert passes(judge, PERSON, answer) is right


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "https://example.com/x.json"}, "expected a reference within the schema"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "properties.a.$ref"),
        ({"allOf": [{"$ref": "other.json#/a"}]}, "allOf[0].$ref"),
        ({"$id": "https://example.com/"}, "$id: this keyword is not supported"),
        ({"$dynamicRef": "#a"}, "not supported"),
        ({"unevaluatedProperties": False}, "not supported"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "expected the dialect"),
        ({"pattern": "(?=a)"}, "cannot be matched in linear time"),
        ({"patternProperties": {r"(a)\1": {}}}, "cannot be matched in linear time"),
        ({"pattern": 3}, "expected a pattern"),
        ({"enum": ["x" * 70_000]}, "the limit is 65536"),
        (True, "expected a JSON Schema, found true"),
    ],
)
def test_schema_is_refused(schema: Any, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_check({"json_schema": schema})
    assert problem in caught.value.message


def test_deep_schema_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"not": schema}
    with pytest.raises(SpecError, match="nested deeper than 32 levels"):
        parse_check({"json_schema": schema})


def test_names_of_properties_are_no_keywords() -> None:
    parse_check({"json_schema": {"properties": {"$id": {"type": "string"}, "$ref": {}}}})
    parse_check({"json_schema": {"const": {"$ref": "x", "pattern": "(?=a)"}}})


def test_exponential_references_are_stopped(judge: Judge) -> None:
    levels: dict[str, Any] = {
        f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(40)
    }
    bomb = parse_check({"json_schema": {"$defs": {**levels, "l40": {}}, "$ref": "#/$defs/l0"}})
    wrong, right = judge.verdicts([(bomb, "{}"), (parse_check({"json_schema": {}}), "{}")])
    assert "steps" in wrong.reason
    assert right.passed


def test_quadratic_and_slow_answers_are_judged(judge: Judge) -> None:
    unique = {"type": "array", "uniqueItems": True}
    items = ",".join(f'{{"a":{n}}}' for n in range(5000))
    assert passes(judge, unique, f"[{items}]")
    assert not passes(judge, unique, f'[{items},{{"a":7}}]')
    slow = {"type": "string", "pattern": "^(a+)+$"}
    assert not passes(judge, slow, f'"{"a" * 60_000}!"')


def test_schema_that_no_answer_passes_is_a_fault(judge: Judge) -> None:
    schemas: list[dict[str, Any]] = [
        {"type": "objekt"}, {"$ref": "#/$defs/missing"}, {"$ref": "#"}, {"minLength": -1}, PERSON,
    ]  # fmt: skip
    faults = judge.faults([parse_check({"json_schema": schema}) for schema in schemas])
    assert all(faults[:-1])
    assert faults[-1] is None
