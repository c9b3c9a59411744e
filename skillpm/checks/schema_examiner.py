"""Judges answers by a JSON Schema, with a bound on the steps. Runs in the sandbox.

The keywords that match patterns are replaced: they use RE2. Every keyword counts its steps, because
references can make the work exponential in the size of the schema (`allOf` of two references, level
by level).
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from skillpm.checks.answers import code_of
from skillpm.checks.check import PASSED, Verdict, failed
from skillpm.checks.json_schema import JsonSchemaCheck
from skillpm.checks.patterns import compile_linear
from skillpm.errors import SpecError
from skillpm.spec import json

STEP_LIMIT = 200_000
"""Steps for one answer: the keywords that are evaluated, and the entries of their values."""
_SHOWN = 200
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class TooManyStepsError(Exception):
    """The work for one answer exceeds `STEP_LIMIT`."""


class _Steps:
    def __init__(self) -> None:
        self.left = STEP_LIMIT

    def counted(self, keyword: Keyword) -> Keyword:
        def run(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
            self.left -= 1 + _entries(value) + _entries(instance)
            if self.left < 0:
                raise TooManyStepsError
            return keyword(validator, value, instance, schema)

        return run


def _entries(value: Any) -> int:
    return len(value) if isinstance(value, (list, dict)) else 0


class SchemaExaminer:
    """Judges answers by the schema of a check."""

    def __init__(self, check: JsonSchemaCheck) -> None:
        self._schema = check.document
        self._steps = _Steps()
        keywords = {**Draft202012Validator.VALIDATORS, **_LINEAR}
        counted = {name: self._steps.counted(keyword) for name, keyword in keywords.items()}
        kind = cast("Any", extend)(Draft202012Validator, counted)
        self._validator = kind(self._schema, registry=Registry())

    def fault(self) -> str | None:
        """Why the schema is not valid in its dialect, or refers to a part that it lacks."""
        try:
            Draft202012Validator.check_schema(self._schema)
        except SchemaError as problem:
            return f"the schema is invalid at {problem.json_path}: {problem.message[:_SHOWN]}"
        except RecursionError:
            return "the schema is nested too deeply"
        return self._run({}, is_fault=True)

    def verdict(self, answer: str) -> Verdict:
        """Parse the answer as JSON and validate it."""
        try:
            document = json.parse(code_of(answer).encode(), "the answer")
        except SpecError as problem:
            return failed(problem.message)
        error = self._run(document, is_fault=False)
        return PASSED if error is None else failed(error)

    def _run(self, document: Any, *, is_fault: bool) -> str | None:
        """The first problem of a document; with `is_fault`, only a reason that fails them all."""
        self._steps.left = STEP_LIMIT
        try:
            error = next(self._validator.iter_errors(document), None)
        except TooManyStepsError:
            return None if is_fault else f"the schema needs more than {STEP_LIMIT} steps"
        except RecursionError:
            return "the schema refers to itself without end"
        except Unresolvable as problem:
            return f"the schema has no {str(problem)[:_SHOWN]}"
        if error is None or is_fault:
            return None
        return f"{error.json_path}: {error.message[:_SHOWN]}"


def _pattern(_validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compile_linear(value).search(instance):
        yield ValidationError(f"{instance!r} does not match {value!r}")


def _pattern_properties(
    validator: Any, value: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, part in value.items():
            compiled = compile_linear(pattern)
            for name in filter(compiled.search, instance):
                yield from validator.descend(instance[name], part, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, value: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = [compile_linear(pattern) for pattern in schema.get("patternProperties", {})]
    named = schema.get("properties", {})
    for name, part in instance.items():
        if name not in named and not any(pattern.search(name) for pattern in patterns):
            if value is False:
                yield ValidationError(f"{name!r} is not expected")
            else:
                yield from validator.descend(part, value, path=name)


def _unique_items(
    _validator: Any, value: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    """`uniqueItems` by hashing; the library compares every pair."""
    if value and isinstance(instance, list):
        distinct = {json.canonical(_whole_numbers(item)) for item in instance}
        if len(distinct) < len(instance):
            yield ValidationError("the list has equal items")


def _whole_numbers(value: Any) -> Any:
    """The value with 1.0 as 1: they are equal in JSON Schema."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole_numbers(item) for name, item in value.items()}
    return value


_LINEAR: dict[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
