"""Side files: plain names, merge patches by RFC 7396, and never code."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from spec_strategies import json_objects, json_values

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.sidefiles import check_name, diff_patch, merge_patch, suffix_of


def without_nulls(value: Any) -> Any:
    """The value without nulls in objects, which a merge patch cannot set."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(json_objects, json_objects)
def test_diff_patch_turns_before_into_after(before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = deepcopy((before, after))
    patched = merge_patch(before, diff_patch(before, after))
    assert json.canonical(without_nulls(patched)) == json.canonical(without_nulls(after))
    assert (before, after) == kept


@given(json_objects)
def test_diff_patch_of_equal_documents_is_empty(document: dict[str, Any]) -> None:
    assert diff_patch(document, deepcopy(document)) == {}
    assert merge_patch(document, {}) == document


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": [1, 0]}, {"a": [True, False]}),
        ({"a": {"b": 0}}, {"a": {"b": False}}),
    ],
)
def test_diff_patch_distinguishes_numbers_from_booleans(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert repr(merge_patch(before, diff_patch(before, after))) == repr(after)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_passes_the_cases_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(json_values, json_values)
def test_merge_patch_is_idempotent(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "vocab.txt", "spiece.model", "chat_template.jinja", "a.TXT"],
)
def test_plain_names_with_known_suffixes_are_accepted(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../config.json", "a/b.json", "a\\b.json", "/etc/passwd.txt", ".json"),
        *(
            "config.json\n",
            "con fig.json",
            "cönfig.json",
            "a\0.json",
            "x" * 130 + ".json",
            "C:a.json",
        ),
        *("run.py", "run.PY", "config.json.py", "weights.bin", "model.safetensors", "noending"),
        *("model.safetensors.index.json", "a.INDEX.json", "adapter_config.json", "Modules.json"),
        "x.skillpm-graft.json",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SpecError):
        check_name(name)


def test_suffix_of_returns_the_last_suffix_in_lower_case() -> None:
    assert [suffix_of(name) for name in ("a.tar.GZ", ".hidden", "plain")] == [".gz", "", ""]
