"""`json_schema`: the answer is JSON that a JSON Schema describes.

The value is the schema, in the dialect 2020-12. Nothing is fetched: a `$ref` begins with `#`.
Patterns are RE2's, so they match in linear time. Keywords that select another dialect or another
document are refused. `schema_examiner` judges in the sandbox, with the library `jsonschema`.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from skillpm.checks.check import Check, Place
from skillpm.checks.patterns import compile_linear
from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.faults import describe_value

SCHEMA_LIMIT = 1 << 16
"""Bytes of a schema as canonical JSON."""
SCHEMA_DEPTH = 32
"""Nested objects and lists of a schema."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFUSED = frozenset({
    "$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor",
    "$vocabulary", "unevaluatedProperties", "unevaluatedItems",
})  # fmt: skip
_NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value maps names to schemas. The names are no keywords."""
_DATA = frozenset({"const", "enum", "default", "examples", "required", "dependentRequired"})
"""Keywords whose value is data, not schemas."""


class JsonSchemaCheck(Check):
    """A JSON Schema for the first fenced block of the answer, or else for all of it."""

    kind: ClassVar[str] = "json_schema"
    place: ClassVar[Place] = Place.SHARED_SANDBOX
    worker: ClassVar[str | None] = "skillpm.checks.schema_worker"

    document: dict[str, Any]

    @classmethod
    def collect(cls, value: Any, problems: Problems) -> Self | None:
        """Build the check from a schema. Adds every problem of the schema's text."""
        if not isinstance(value, dict):
            problems.add(cls.kind, f"expected a JSON Schema, found {describe_value(value)}")
            return None
        faults = list(_size_problems(value)) or list(_problems(value, "", 0))
        problems.extend((f"{cls.kind}{path}", problem) for path, problem in faults)
        return None if faults else cls(document=value)

    def value(self) -> Any:
        """The schema."""
        return self.document


def _size_problems(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        size = len(json.canonical(schema))
    except SpecError as problem:
        yield "", problem.message
        return
    if size > SCHEMA_LIMIT:
        yield "", f"the schema has {size} bytes; the limit is {SCHEMA_LIMIT}"


def _problems(schema: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """The problems of a schema and of the schemas in it, each with its path."""
    if depth > SCHEMA_DEPTH:
        yield path, f"nested deeper than {SCHEMA_DEPTH} levels"
    elif isinstance(schema, list):
        for place, item in enumerate(schema):
            yield from _problems(item, f"{path}[{place}]", depth + 1)
    elif isinstance(schema, dict):
        for keyword, value in schema.items():
            here = f"{path}.{keyword[:64]}"
            yield from ((here, why) for why in _keyword_problems(keyword, value))
            if keyword in _NAMES and isinstance(value, dict):
                for name, part in value.items():
                    yield from _problems(part, f"{here}.{name[:64]}", depth + 2)
            elif keyword not in _DATA:
                yield from _problems(value, here, depth + 1)


def _keyword_problems(keyword: str, value: Any) -> Iterator[str]:
    if keyword in _REFUSED and isinstance(value, str | dict | bool):
        yield "this keyword is not supported"
    if keyword == "$schema" and value != DIALECT:
        yield f"expected the dialect `{DIALECT}`, found {describe_value(value)}"
    if keyword == "$ref" and not (isinstance(value, str) and value.startswith("#")):
        yield f"expected a reference within the schema, `#/…`, found {describe_value(value)}"
    patterns = [value] if keyword == "pattern" else []
    if keyword == "patternProperties" and isinstance(value, dict):
        patterns = list(value)
    for pattern in patterns:
        if not isinstance(pattern, str):
            yield f"expected a pattern, found {describe_value(pattern)}"
            continue
        try:
            compile_linear(pattern)
        except SpecError as problem:
            yield problem.message
