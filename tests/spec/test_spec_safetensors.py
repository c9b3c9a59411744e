"""The header of a safetensors file: strict reader, canonical writer."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from spec_strategies import altered, text

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.dtypes import BITS, TensorSpec
from skillpm.spec.safetensors import Header, dump_header, header_length, layout, parse_header

names = text.filter(lambda name: name and "\0" not in name and name != "__metadata__")
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
tensors = st.lists(
    st.builds(TensorSpec, names, st.sampled_from(sorted(BITS)), shapes),
    unique_by=lambda spec: spec.name,
    max_size=6,
)
metadata = st.dictionaries(text, text, max_size=3)


def read(data: bytes, data_bytes: int) -> Header:
    size = len(data) + data_bytes
    length = header_length(data[:8], size, "it")
    assert length == len(data) - 8
    return parse_header(data[8:], size, "it")


@given(tensors, metadata)
def test_dump_and_parse_are_inverse(specs: list[TensorSpec], meta: dict[str, str]) -> None:
    placed = layout(specs)
    data = dump_header(placed, meta)
    header = read(data, sum(spec.nbytes for spec in specs))
    assert {t.spec.name: (t.spec, t.start, t.stop) for t in header.tensors} == {
        t.spec.name: (t.spec, t.start, t.stop) for t in placed
    }
    assert header.metadata == meta
    assert header.data_start == len(data)
    assert len(data) % 8 == 0
    assert header.data_bytes == sum(spec.nbytes for spec in specs)


@given(tensors, st.randoms(use_true_random=False))
def test_header_is_independent_of_the_order_of_tensors(specs: list[TensorSpec], order: Any) -> None:
    data = dump_header(layout(specs), {})
    order.shuffle(specs)
    assert dump_header(layout(specs), {}) == data


def test_files_of_the_safetensors_library_are_read_with_the_same_layout() -> None:
    data = save(
        {
            "z": torch.zeros(3, dtype=torch.float32),
            "a": torch.zeros((2, 2), dtype=torch.bfloat16),
            "scalar": torch.tensor(1, dtype=torch.int64),
            "empty": torch.zeros((0, 4), dtype=torch.float16),
            "flag": torch.zeros(3, dtype=torch.bool),
        },
        {"format": "pt"},
    )
    length = header_length(data[:8], len(data), "it")
    header = parse_header(data[8 : 8 + length], len(data), "it")
    assert header.metadata == {"format": "pt"}
    assert [t.spec.name for t in header.tensors] == ["scalar", "z", "a", "empty", "flag"]
    assert layout(t.spec for t in header.tensors) == header.tensors


@pytest.mark.parametrize(
    ("first", "file_bytes"),
    [(b"", 0), (b"\x01", 1), (b"\xff" * 8, 100), (b"\x5d" + bytes(7), 100), (bytes(7), 100)],
)
def test_wrong_header_length_is_refused(first: bytes, file_bytes: int) -> None:
    with pytest.raises(SpecError, match="is not a safetensors file"):
        header_length(first, file_bytes, "it")


def tensor(start: Any, stop: Any, *, dtype: Any = "U8", shape: Any = None) -> dict[str, Any]:
    shape = [stop - start] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        ({"a": tensor(0, 4), "b": tensor(5, 8)}, "a gap before 'b' at byte 5"),
        ({"a": tensor(1, 8)}, "a gap before 'a' at byte 1"),
        ({"a": tensor(0, 4), "b": tensor(3, 8)}, "an overlap before 'b' at byte 3"),
        ({"a": tensor(0, 8), "b": tensor(0, 8)}, "an overlap before 'b' at byte 0"),
        ({"a": tensor(0, 7)}, "but its header describes"),
        ({"a": tensor(0, 9)}, "but its header describes"),
        ({}, "but its header describes"),
        ({"a": tensor(0, 8, dtype="F128")}, "not a valid tensor"),
        ({"a": tensor(0, 8, dtype=["U8"])}, "not a valid tensor"),
        ({"a": tensor(0, 8, shape=[-8])}, "not a valid tensor"),
        ({"a": tensor(0, 8, shape=[True] * 8)}, "not a valid tensor"),
        ({"a": tensor(0, 8, shape=[8.0])}, "not a valid tensor"),
        ({"a": tensor(0, 8, shape="8")}, "not a valid tensor"),
        ({"a": tensor(0, 1, shape={}), "b": tensor(1, 8)}, "not a valid tensor"),
        ({"a": tensor(0, 1, shape=""), "b": tensor(1, 8)}, "not a valid tensor"),
        ({"a": tensor(0, 8, shape=[2**62, 2**62])}, "not a valid tensor"),
        ({"a": tensor(0, 8, shape=[2, 3])}, "has 8 bytes, expected 6"),
        ({"a": tensor(8, 0, shape=[8])}, "has -8 bytes, expected 8"),
        ({"": tensor(0, 8)}, "not a valid tensor"),
        ({"a\0b": tensor(0, 8)}, "not a valid tensor"),
        ({"a": {"dtype": "U8", "shape": [8]}}, "has no dtype, shape or data_offsets"),
        ({"a": {**tensor(0, 8), "data_offsets": [0, 4, 8]}}, "has no dtype, shape or data_offsets"),
        ({"a": {**tensor(0, 8), "shape": 8}}, "has no dtype, shape or data_offsets"),
        ({"a": [1]}, "has no dtype, shape or data_offsets"),
        ({"a": tensor(0, 8), "__metadata__": {"x": 1}}, "to be an object of texts"),
        ({"a": tensor(0, 8), "__metadata__": []}, "to be an object of texts"),
    ],
)
def test_invalid_header_is_refused(plain: dict[str, Any], reason: str) -> None:
    data = json.canonical(plain)
    with pytest.raises(SpecError) as caught:
        parse_header(data, 8 + len(data) + 8, "it")
    assert reason in caught.value.message


def test_duplicate_tensor_name_is_refused() -> None:
    entry = json.canonical(tensor(0, 8)).decode()
    data = f'{{"a":{entry},"a":{entry}}}'.encode()
    with pytest.raises(SpecError, match="duplicate key"):
        parse_header(data, 8 + len(data) + 8, "it")


@given(
    altered(
        {
            "a": tensor(0, 4),
            "b": tensor(4, 8, dtype="I16", shape=[1, 2]),
            "__metadata__": {"format": "pt"},
        }
    )
)
def test_any_altered_header_is_read_or_refused(plain: Any) -> None:
    data = json.canonical(plain)
    try:
        header = parse_header(data, 8 + len(data) + 8, "it")
    except SpecError as problem:
        assert problem.message.startswith(("it", "the header of it"))  # noqa: PT017 - some are read
    else:
        assert header.data_bytes == 8
