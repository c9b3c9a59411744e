"""The table of kinds, and the parser of checks."""

from collections.abc import Mapping
from typing import Any

from skillpm.checks.check import Check
from skillpm.checks.command import CommandCheck
from skillpm.checks.equals import EqualsCheck
from skillpm.checks.json_schema import JsonSchemaCheck
from skillpm.checks.number import NumberCheck
from skillpm.checks.python_tests import PythonCheck
from skillpm.checks.regex import RegexCheck
from skillpm.checks.reward import RewardCheck
from skillpm.checks.rules import RulesCheck
from skillpm.checks.sql import SqlCheck
from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.faults import describe_value
from skillpm.spec.nearest import did_you_mean

CHECK_LIMIT = 1 << 18
"""Bytes of a check as canonical JSON."""
_NAME = 64

KINDS: Mapping[str, type[Check]] = {
    kind.kind: kind
    for kind in (
        EqualsCheck, NumberCheck, RegexCheck, JsonSchemaCheck, RulesCheck, SqlCheck, RewardCheck,
        PythonCheck, CommandCheck,
    )
}  # fmt: skip
"""All kinds by name."""


def parse_check(plain: Any, what: str = "the check") -> Check:
    """Build a check from `{KIND: VALUE}`. Raises `SpecError` with every problem and its path."""
    problems = Problems(what)
    check = collect_check(plain, problems)
    problems.raise_if_any()
    if check is None:
        raise AssertionError
    return check


def collect_check(plain: Any, problems: Problems) -> Check | None:
    """Build a check from `{KIND: VALUE}`. If it is invalid, add every problem and return None."""
    if not isinstance(plain, dict) or len(plain) != 1:
        found = describe_value(plain)
        problems.add("", f'expected an object with one key, {{"equals": "412"}}; found {found}')
        return None
    ((name, value),) = plain.items()
    kind = KINDS.get(name)
    if kind is None:
        kinds = f"expected one of {', '.join(sorted(KINDS))}"
        suggestion = did_you_mean(name[:_NAME], KINDS, otherwise=kinds)
        problems.add("", f"unknown kind of check {name[:_NAME]!r}; {suggestion}")
        return None
    try:
        json.check_depth(plain, "the check")
        size = len(json.canonical(plain))
    except SpecError as problem:
        problems.add("", problem.message)
        return None
    if size > CHECK_LIMIT:
        problems.add(name, f"the check has {size} bytes; the limit is {CHECK_LIMIT}")
        return None
    return kind.collect(value, problems)


def to_plain(check: Check) -> dict[str, Any]:
    """A check as JSON: the inverse of `parse_check`."""
    return {check.kind: check.value()}
