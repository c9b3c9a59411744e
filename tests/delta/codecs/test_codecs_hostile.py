"""Untrusted payloads are decoded or refused with an `IntegrityError`; nothing else happens."""

from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from coded_worlds import FAMILIES, GRIDS, Case, case, part_of, referenced
from delta_worlds import new_writer, reader_of
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from skillpm.delta.codecs.grid_contexts import encode_codes
from skillpm.delta.codecs.shared import coded
from skillpm.delta.codecs.shared.coded import Sections, join
from skillpm.delta.codecs.shared.parts import PART
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import Record
from skillpm.delta.tensors import words
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec


@cache
def whole(family: str) -> Case:
    return case(family, (6, 7), seed=3, scaled=True)


@cache
def with_reference(family: str) -> Case:
    return referenced(family, (6, 7), seed=3)


def _survives(one: Case, data: bytes, **changed: Any) -> bool:
    """Whether it is decoded. Every decoded value is a number; warnings are errors."""
    try:
        decoded = one.decode(data, **changed)
    except IntegrityError as problem:
        assert "`" in problem.message or "'t" in problem.message  # noqa: PT017 - says which tensor
        return False
    assert decoded.size == one.spec.elements
    assert np.isfinite(decoded).all()
    return True


def _damaged(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        for value in {data[place] ^ 1, data[place] ^ 0x80, data[place] ^ 0xFF, 0, 0x7F, 0xFF}:
            yield data[:place] + bytes([value]) + data[place + 1 :]
        yield data[:place] + data[place + 1 :]
        yield data[:place] + b"\x80" + data[place:]


@pytest.mark.parametrize("family", FAMILIES)
def test_damaged_byte_is_refused_or_decoded_to_finite_numbers(family: str) -> None:
    one = whole(family)
    assert not all(_survives(one, data) for data in _damaged(one.data))


@pytest.mark.parametrize("family", GRIDS)
def test_damaged_contexts_of_exponents_are_refused_or_decoded_to_numbers(family: str) -> None:
    one = with_reference(family)
    assert _survives(one, one.data)
    assert not all(_survives(one, data) for data in _damaged(one.data))


@pytest.mark.parametrize("family", FAMILIES)
def test_part_that_is_truncated_or_extended_is_refused(family: str) -> None:
    one = whole(family)
    for size in range(len(one.data)):
        assert not _survives(one, one.data[:size])
    assert not _survives(one, one.data + b"\0")
    assert _survives(one, one.data)


@settings(max_examples=examples(200))
@given(st.sampled_from(FAMILIES), st.data())
def test_random_sections_are_refused_or_decoded_to_finite_numbers(
    family: str, data: st.DataObject
) -> None:
    one = whole(family)
    reader = Sections(one.data, "`t`")
    sections = [reader.next() for _ in range(2 if family == "svd-ec+grid" else _COUNT[family])]
    place = data.draw(st.integers(0, len(sections) - 1))
    sections[place] = data.draw(st.binary(max_size=60))
    _survives(one, join(sections))


_COUNT = {"svd-ec": 5, "grid": 4, "sign": 3}

_HOSTILE: tuple[Any, ...] = (None, True, 1.0, "1", [1], {}, 2**62, -(2**62))


@pytest.mark.parametrize("wrong", _HOSTILE, ids=repr)
@pytest.mark.parametrize("family", FAMILIES)
def test_settings_of_another_type_are_refused(family: str, wrong: Any) -> None:
    one = whole(family)
    for key, value in one.record.settings.items():
        assert not _survives(one, one.data, **{key: wrong})
        for inner in value if isinstance(value, dict) else ():
            assert not _survives(one, one.data, **{key: {**value, inner: wrong}})
            short = {name: each for name, each in value.items() if name != inner}
            assert not _survives(one, one.data, **{key: short})


@pytest.mark.parametrize("fine", [-1, 13, 2**31])
@pytest.mark.parametrize("family", ["svd-ec", "grid", "sign"])
def test_invalid_fineness_is_refused(family: str, fine: int) -> None:
    assert not _survives(whole(family), whole(family).data, fine=fine)


@pytest.mark.parametrize("rank", [0, 1, 2, 4, 6, 7, 1 << 40])
def test_rank_that_differs_from_the_factors_is_refused(rank: int) -> None:
    one = whole("svd-ec")
    assert one.record.settings["rank"] == 3
    assert not _survives(one, one.data, rank=rank)


@pytest.mark.parametrize("exponent", [-1000, -30, 30, 1000])
@pytest.mark.parametrize("side", ["left", "right"])
def test_any_exponents_are_refused_or_give_finite_numbers(side: str, exponent: int) -> None:
    one = whole("svd-ec")
    _survives(one, one.data, **{side: exponent})
    _survives(one, one.data, left=exponent, right=exponent)


@pytest.mark.parametrize("level", [b"\0\0\xc0\x7f", b"\1\0\x80\x7f", b"\0\0\x80\xff"])
def test_levels_that_are_not_finite_are_refused(level: bytes) -> None:
    one = whole("grid")
    place = one.data.index(np.array([0.1, 0.11], dtype="<f4").tobytes())
    for number in range(5):
        start = place + 4 * number
        data = one.data[:start] + level + one.data[start + 4 :]
        with pytest.raises(IntegrityError, match="a level that is NaN or Inf"):
            one.decode(data)


def test_largest_levels_codes_and_scales_give_finite_numbers() -> None:
    one = whole("grid")
    logs = coded.encode_flat(np.array([250, *[0] * 5], dtype=np.int32))
    wide = coded.encode_flat(np.array([250, *[0] * 6], dtype=np.int32))
    codes = np.full((6, 7), -(2**31), dtype=np.int32)
    levels = np.full(5, np.finfo(np.float32).max, dtype="<f4").tobytes()
    data = join([levels, logs, wide, encode_codes(codes, None, one.spec)])
    decoded = one.decode(data, fine=0)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded).max() > 2.0**650


@pytest.mark.parametrize(
    ("family", "home", "size"), [("svd-ec", coded, "STRIPE"), ("grid", words, "CHUNK")]
)
def test_matrix_with_a_wrong_number_of_streams_is_refused(
    family: str, home: ModuleType, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, size, 20)
    one = case(family, (14, 13), scaled=False)
    for wrong in (25, 14, 1 << 20):
        monkeypatch.setattr(home, size, wrong)
        assert not _survives(one, one.data)
    monkeypatch.setattr(home, size, 20)
    assert _survives(one, one.data)


@pytest.mark.parametrize("shape", [(7, 6), (6, 8), (5, 7), (42,), (6, 7, 2), (600, 700)])
@pytest.mark.parametrize("family", FAMILIES)
def test_part_of_another_shape_is_refused(family: str, shape: tuple[int, ...]) -> None:
    one = whole(family)
    other = Case(TensorSpec("t", "F32", shape), None, one.expected, one.record, one.data)
    assert not _survives(other, one.data)


@pytest.mark.parametrize("family", FAMILIES)
def test_part_that_is_a_frame_or_missing_is_refused(family: str) -> None:
    one = whole(family)
    for name in (f"{PART}.zst", "e"):
        reader = part_of(one.spec, one.data, name)
        with pytest.raises(IntegrityError, match=r"the layer"):
            CODECS[family].open(one.spec, reader, one.record.settings)
    reader = part_of(one.spec, one.data, f"{PART}.zst")
    with pytest.raises(IntegrityError, match="is missing, or is a zstd frame"):
        reader.plain("t", PART)


@pytest.mark.parametrize("family", FAMILIES)
def test_part_far_larger_than_its_tensor_is_not_read(family: str) -> None:
    one = whole(family)
    reader = part_of(one.spec, bytes((1 << 20) + 16 * one.spec.elements + 1))
    with pytest.raises(IntegrityError, match="expected at most"):
        CODECS[family].open(one.spec, reader, one.record.settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_second_part_is_refused(family: str) -> None:
    one = whole(family)
    writer = new_writer()
    writer.put_plain("t", PART, one.data)
    writer.put_plain("t", "more", b"1")
    writer.describe("t", Record(family, {}))
    with pytest.raises(IntegrityError, match="parts that its codec needs"):
        CODECS[family].open(one.spec, reader_of(writer), one.record.settings)


def test_small_stream_of_zeros_uses_memory_of_its_shape_only() -> None:
    """A stream of zeros costs no bytes per integer, so the shape bounds memory: a byte per code."""
    spec = TensorSpec("t", "F32", (3000, 2000))
    zeros = [coded.encode_matrix(np.zeros((side, 2000), dtype=np.int32)) for side in (3000, 2000)]
    data = join([b"", b"", b"", *zeros])
    assert len(data) < 100
    record = Record("svd-ec", {"rank": 2000, "fine": 0, "left": 0, "right": 0})
    one = Case(spec, None, np.zeros(0), record, data)
    assert not one.decode().any()
