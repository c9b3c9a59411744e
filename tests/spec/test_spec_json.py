"""JSON: limits for untrusted documents, and the canonical form."""

import json as plain_json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_strategies import json_objects, json_values

from skillpm.errors import SpecError
from skillpm.spec import json


@given(json_values)
def test_canonical_and_parse_are_inverse(document: Any) -> None:
    data = json.canonical(document)
    again = json.parse(data, "it")
    assert repr(again) == repr(plain_json.loads(plain_json.dumps(document, sort_keys=True)))
    assert json.canonical(again) == data


@given(json_objects)
def test_canonical_is_independent_of_key_order(document: dict[str, Any]) -> None:
    backwards = dict(reversed(document.items()))
    assert json.canonical(backwards) == json.canonical(document)
    assert json.parse_object(json.canonical(document), "it") == document


@given(json_values)
def test_pretty_has_the_same_content_as_canonical(document: Any) -> None:
    data = json.pretty(document)
    assert data.endswith(b"\n")
    assert json.canonical(json.parse(data, "it")) == json.canonical(document)


def test_canonical_is_compact_sorted_utf8() -> None:
    assert (
        json.canonical({"b": [1, 2.5, None], "a": "é\n"})
        == '{"a":"é\\n","b":[1,2.5,null]}'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "\ud800"])
def test_canonical_refuses_values_without_a_json_form(value: Any) -> None:
    with pytest.raises(SpecError, match="cannot be written as JSON"):
        json.canonical({"a": [value]})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'"\xff"', "is not UTF-8: invalid start byte at 1"),
        (b'{"a":1,"b":2,"a":3}', "duplicate key 'a'"),
        (b'[{"a":{"x":1,"x":1}}]', "duplicate key 'x'"),
        (b"[NaN]", "NaN is not allowed"),
        (b"-Infinity", "-Infinity is not allowed"),
        (b"[1e999]", "the number 1e999 is too large"),
        (b"[-1e999]", "the number -1e999 is too large"),
        (b"9" * 5000, "is not JSON"),
        (b'{"\\ud800": 1}', "text that is not Unicode"),
        (b'["\\udfff"]', "text that is not Unicode"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64 levels"),
        (b"[" * 200_000 + b"]" * 200_000, "nested deeper than 64 levels"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_parse_refuses_a_document_beyond_a_limit_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        json.parse(data, "the thing")
    assert caught.value.message.startswith("the thing")
    assert reason in caught.value.message


def test_parse_reads_a_document_at_the_limits() -> None:
    assert json.parse(b"[" * 64 + b"]" * 64, "it")
    assert json.parse(b"[" * 64 + b"1" + b"]" * 64, "it")
    assert json.parse(b'"\\ud83d\\ude00"', "it") == "😀"
    assert json.parse(b"1e308", "it") == 1e308


def test_parse_refuses_a_document_over_the_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "SIZE_LIMIT", 10)
    assert json.parse(b" " * 9 + b"1", "it") == 1
    with pytest.raises(SpecError, match="has 11 bytes; the limit is 10"):
        json.parse(b" " * 10 + b"1", "it")


def test_parse_object_refuses_other_documents() -> None:
    with pytest.raises(SpecError, match="it: expected a JSON object, found a list of"):
        json.parse_object(b"[]", "it")


@given(st.binary(max_size=40))
def test_parse_reads_or_refuses_any_bytes(data: bytes) -> None:
    try:
        document = json.parse(data, "it")
    except SpecError as problem:
        assert problem.kind == "spec"  # noqa: PT017 - most bytes are refused, a few are read
    else:
        assert json.parse(json.canonical(document), "it") == document


def test_the_scalars_of_a_document_come_with_the_nearest_key() -> None:
    document = {"a": 1, "b": [2, [3.5, {"c": None}]], "d": {"e": {"f": "x"}}, "g": [], "h": True}
    found = {(key, repr(value)) for key, value in json.scalars(document)}
    assert found == {
        ("a", "1"), ("b", "2"), ("b", "3.5"), ("c", "None"), ("f", "'x'"), ("h", "True"),
    }  # fmt: skip
