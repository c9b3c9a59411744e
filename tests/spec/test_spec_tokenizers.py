"""How long a tokenizer could make a text, against what the library itself makes of one."""

import base64
import json
from typing import Any

import pytest
from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers.normalizers import Normalizer

from skillpm.errors import SpecError
from skillpm.spec.tokenizers import check_tokenizer

TWICE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
LINED = {"type": "Replace", "pattern": {"String": " "}, "content": "_"}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
BETWEEN = {"type": "Replace", "pattern": {"Regex": "b*"}, "content": "a"}


def _checked(**stages: Any) -> None:
    check_tokenizer(json.dumps({"model": {"type": "BPE"}, **stages}).encode(), "a tokenizer")


def _sequence(steps: list[Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": steps}


def _map(size: int, texts: bytes) -> dict[str, Any]:
    blob = base64.b64encode(size.to_bytes(4, "little") + b"\0" * 8 + texts)
    return {"type": "Precompiled", "precompiled_charsmap": blob.decode()}


@pytest.mark.parametrize(
    "stages",
    [
        {},
        {"normalizer": None, "decoder": "odd", "pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": _sequence([TWICE] * 6)},
        {"normalizer": _sequence([{"type": "Prepend", "prepend": "_"}, LINED])},
        {"normalizer": _sequence([{"type": "Replace", "pattern": {"Regex": "\\s+"},
                                   "content": " "}] * 40)},
        {"normalizer": _sequence([{"type": "Replace", "pattern": {"Regex": " {2,}"},
                                   "content": " "}, _map(8, b"one\0two\0")])},
        {"pre_tokenizer": {"type": "ByteLevel"}, "post_processor": {"type": "ByteLevel"},
         "decoder": {"type": "ByteLevel"}},
    ],
)  # fmt: skip
def test_tokenizers_that_keep_texts_about_as_long_are_read(stages: dict[str, Any]) -> None:
    _checked(**stages)


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ({"normalizer": _sequence([TWICE] * 30)}, "1.07e\\+09 times"),
        ({"normalizer": _sequence([_sequence([TWICE] * 4), _sequence([TWICE] * 4)])}, "256 times"),
        ({"normalizer": _sequence([BETWEEN] * 8)}, "256 times"),
        ({"normalizer": TWICE | {"content": "a" * 100}}, "100 times"),
        ({"normalizer": {"type": "Prepend", "prepend": "a" * 100}}, "101 times"),
        ({"normalizer": TWICE | {"pattern": {"Regex": "(?=a)"}, "content": "a" * 64}}, "65 times"),
        ({"normalizer": TWICE | {"pattern": {"String": ""}, "content": "a" * 64}}, "65 times"),
        ({"normalizer": TWICE | {"pattern": {"Regex": "("}, "content": "a" * 64}}, "65 times"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}] * 9}},
         "times"),
        ({"decoder": {"type": "Sequence", "decoders": [TWICE] * 9}}, "512 times"),
        ({"post_processor": {"type": "TemplateProcessing", "single": [TEXT] * 99}}, "99 times"),
        ({"normalizer": _map(8, b"a" * 99)}, "99 times"),
        ({"normalizer": _map(1 << 31, b"a")}, "13 bytes that should hold 2147483648"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}}, "not base64"),
    ],
)  # fmt: skip
def test_what_multiplies_texts_is_refused(stages: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        _checked(**stages)


def _grown(step: dict[str, Any], times: int) -> tuple[float, float]:
    """How much longer the library makes texts, and what we say that it could."""
    text = "aa bb cé 漢 " * 4
    chain: Any = normalizers.Sequence([_made(step)] * times)
    longer = len(chain.normalize_str(text)) / len(text)
    with pytest.raises(SpecError) as refused:
        _checked(normalizer=_sequence([step] * times))
    limit = float(refused.value.message.split("text ")[1].split(" times")[0])
    return longer, limit


def _made(step: dict[str, Any]) -> Normalizer:
    if step["type"] == "ByteLevel":
        return normalizers.ByteLevel()
    pattern = step["pattern"]
    if "Regex" in pattern:
        return normalizers.Replace(Regex(pattern["Regex"]), step["content"])
    return normalizers.Replace(pattern["String"], step["content"])


@pytest.mark.parametrize("step", [TWICE, BETWEEN, {"type": "ByteLevel"}])
def test_no_library_makes_more_than_the_bound_of_it(step: dict[str, Any]) -> None:
    longer, limit = _grown(step, 8)
    assert 1 < longer <= limit


def test_the_spelling_of_bytes_is_the_only_pre_tokenizer_that_grows() -> None:
    text = "漢字é"
    spelt = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    assert len("".join(word for word, _ in spelt)) <= 4 * len(text)
