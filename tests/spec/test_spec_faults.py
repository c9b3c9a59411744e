"""Errors of invalid documents give path, expected and found, and no wording of pydantic."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from spec_documents import manifest_plain

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.advisory import Event
from skillpm.spec.bundle import BundledBase
from skillpm.spec.fields import read_document
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.policy import Ignore
from skillpm.spec.probe_items import MultipleChoiceItem
from skillpm.spec.project import GraftTable, parse_project
from skillpm.spec.savedindex import parse_index

FOREIGN = ("Input should", "Field required", "valid ", "pydantic", "instance of", "dictionary")
BAD: tuple[Any, ...] = (None, True, 3, -1, 2.5, "", "x", [], [1], {}, {"a": 1}, 10**30)


def said(read: Callable[[], object]) -> str:
    """The message of a `SpecError`; empty if the value is valid."""
    try:
        read()
    except SpecError as problem:
        return problem.message
    return ""


@pytest.mark.parametrize("key", sorted(manifest_plain()))
def test_manifest_errors_have_no_wording_of_pydantic(key: str) -> None:
    refused = 0
    for bad in BAD:
        plain = {**manifest_plain(), key: bad}
        message = said(partial(parse_manifest, json.canonical(plain)))
        assert not any(word in message for word in FOREIGN), message
        refused += bool(message)
    plain = {name: value for name, value in manifest_plain().items() if name != key}
    message = said(lambda: parse_manifest(json.canonical(plain)))
    assert not any(word in message for word in FOREIGN), message
    assert refused


@pytest.mark.parametrize(
    ("kind", "plain", "expected"),
    [
        (BundledBase, {"name": 3, "root": "x"}, "name: expected text, found the number 3"),
        (BundledBase, {"name": None}, "name: expected text, found null"),
        (BundledBase, [], "expected an object, found a list of 0 entries"),
        (Lockfile, {"version": "1"}, "version: expected"),
        (
            Lockfile,
            {"version": 1, "skill": {}},
            "skill: expected a list, found an object of 0 keys",
        ),
        (Lockfile, {"version": 1}, "base: missing"),
    ],
)
def test_error_states_path_expected_and_found(kind: Any, plain: Any, expected: str) -> None:
    assert expected in said(lambda: read_document(kind, plain, "the document"))


def test_errors_of_project_files_and_saved_indexes_have_no_pydantic_wording() -> None:
    text = '[project]\nbase = 3\nroot = "x"\n[skills]\n"acme/x" = 1\n'
    index = json.canonical({"skills": {"acme/x": {"1.0.0": {"requires": "acme/y", "yanked": 2}}}})
    for message in (said(lambda: parse_project(text)), said(lambda: parse_index(index, "x"))):
        assert "expected" in message
        assert not any(word in message for word in FOREIGN), message


@pytest.mark.parametrize(
    ("kind", "plain", "expected"),
    [
        (
            MultipleChoiceItem,
            {"question": "q", "choices": ["x", "y"], "answer": 1.5},
            "answer: expected a whole number or text, found the number 1.5",
        ),
        (
            GraftTable,
            {"method": "ties", "settings": {"density": [1]}},
            "settings.density: expected text, a number, true or false, found a list of 1 entry",
        ),
        (Event, {"introduced": "x"}, "introduced: 'x' is not a version"),
        (Ignore, {"code": "x", "reason": "r", "until": 3}, "until: expected a date, found"),
    ],
)
def test_a_value_of_no_type_of_a_union_is_one_error(kind: Any, plain: Any, expected: str) -> None:
    message = said(lambda: read_document(kind, plain, "the document"))
    assert message.startswith("the document has 1 problem:")
    assert expected in message
