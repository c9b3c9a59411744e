"""Turns validation errors of pydantic into skillpm's wording: expected X, found Y."""

from collections.abc import Mapping
from typing import Any

from skillpm.errors import capped
from skillpm.spec.words import counted

_SHOWN = 60
"""The number of characters of a value that a message shows."""
_EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "string_unicode": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
    "none_required": "null",
    "date_type": "a date",
    "date_from_datetime_inexact": "a date without a time",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS = {
    "string_too_short": ("min_length", "at least", "character"),
    "string_too_long": ("max_length", "at most", "character"),
    "too_short": ("min_length", "at least", "entry"),
    "too_long": ("max_length", "at most", "entry"),
}
_OURS = frozenset({"value_error", "assertion_error"})


def describe_fault(kind: str, message: str, value: Any, context: Mapping[str, Any]) -> str:
    """A validation error as a clause: expected X, found Y.

    `kind`, `message` and `context` are those of pydantic's error. Messages of skillpm's own
    validators are not changed.
    """
    if kind in _OURS:
        return message.partition(", ")[2] if message.startswith(("Value", "Assert")) else message
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        return "unknown key"
    expected = _expected(kind, context)
    if expected is None:  # no document can cause this kind of error today
        expected = "another value"
    actual = _length_of(value) if kind in _LENGTHS else describe_value(value)
    return f"expected {expected}, found {actual}"


def _expected(kind: str, context: Mapping[str, Any]) -> str | None:
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]}"
    if kind in _LENGTHS:
        name, words, noun = _LENGTHS[kind]
        plural = "entries" if noun == "entry" else None
        return f"{words} {counted(context[name], noun, plural)}"
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind == "string_pattern_mismatch":
        return f"text of the form `{context['pattern']}`"
    return _EXPECTED.get(kind)


def _length_of(value: Any) -> str:
    return str(len(value)) if hasattr(value, "__len__") else describe_value(value)


def describe_value(value: Any) -> str:
    """A short description of a value for messages, in terms of JSON: `a list of 3 entries`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the text {capped(repr(value), _SHOWN)}"
    if isinstance(value, int | float):
        return f"the number {capped(str(value), _SHOWN)}"
    if isinstance(value, list | tuple):
        return f"a list of {counted(len(value), 'entry', 'entries')}"
    if isinstance(value, dict):
        return f"an object of {counted(len(value), 'key')}"
    return f"a {type(value).__name__}"
