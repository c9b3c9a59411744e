from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from thoroughness import stride

from skillpm.delta.coding.integers import decode_integers, encode_integers, integer_bits
from skillpm.delta.coding.raw_bits import BY_WIDTH, pack_raw, unpack_raw
from skillpm.delta.coding.varint import read_varint, varint
from skillpm.errors import IntegrityError

Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

numbers = st.one_of(st.integers(-3, 3), st.integers(-300, 300), st.integers(-(2**31), 2**31 - 1))


def _zeros(size: int) -> Bytes:
    return np.zeros(size, dtype=np.uint8)


def _order0_bits(values: Ints, contexts: Bytes) -> float:
    """Return the entropy of the values under their contexts, without tables."""
    bits = 0.0
    for context in np.unique(contexts):
        counts = np.unique(values[contexts == context], return_counts=True)[1]
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits


def _sample(kind: str, size: int) -> tuple[Ints, Bytes]:
    random = np.random.default_rng(size)
    contexts = _zeros(size)
    values: npt.NDArray[Any]
    if kind == "sixteen contexts":
        contexts = random.integers(0, 16, size, dtype=np.uint8)
        values = np.round(random.normal(size=size) * (0.3 + 0.2 * contexts))
    elif kind == "mostly zero":
        values = random.integers(-1, 2, size) * (random.random(size) < 0.05)
    else:
        values = np.round(random.laplace(0, float(kind), size))
    return values.astype(np.int32), contexts


@given(st.lists(st.tuples(numbers, st.integers(0, 63)), max_size=300))
def test_any_integers_under_any_contexts_come_back(pairs: list[tuple[int, int]]) -> None:
    values = np.array([value for value, _ in pairs], dtype=np.int32)
    contexts = np.array([context for _, context in pairs], dtype=np.uint8)
    data = encode_integers(values, contexts)
    assert (decode_integers(data, contexts) == values).all()
    assert abs(integer_bits(values, contexts) - 8 * len(data)) < 0.01 * 8 * len(data) + 200


@pytest.mark.parametrize("size", [1, 2, 1000, 1 << 16, (1 << 18) + 7])
@pytest.mark.parametrize("kind", ["0.2", "3", "2000", "sixteen contexts", "mostly zero"])
def test_integers_of_every_size_and_kind_come_back(kind: str, size: int) -> None:
    values, contexts = _sample(kind, size)
    assert (decode_integers(encode_integers(values, contexts), contexts) == values).all()


@pytest.mark.parametrize(("size", "share"), [(1 << 16, 1.03), (1 << 20, 1.015)])
@pytest.mark.parametrize("kind", ["0.2", "1", "3", "30", "sixteen contexts", "mostly zero"])
def test_a_stream_is_near_the_entropy_of_order_0(kind: str, size: int, share: float) -> None:
    values, contexts = _sample(kind, size)
    stored = 8 * len(encode_integers(values, contexts))
    assert stored < share * _order0_bits(values, contexts)
    assert abs(stored - integer_bits(values, contexts)) < 0.01 * stored + 64


def test_the_same_integers_give_the_same_bytes() -> None:
    values, contexts = _sample("sixteen contexts", 5000)
    assert encode_integers(values, contexts) == encode_integers(values.copy(), contexts.copy())


@pytest.mark.parametrize("value", [0, -1, 7, 100_000, -(2**31), 2**31 - 1])
def test_a_stream_of_one_small_integer_takes_next_to_nothing(value: int) -> None:
    size = 1 << 16
    data = encode_integers(np.full(size, value, dtype=np.int32), _zeros(size))
    assert (decode_integers(data, _zeros(size)) == value).all()
    assert len(data) < 20 or abs(value) >= 64


def test_a_context_of_one_integer_costs_nothing_beside_another() -> None:
    values, _ = _sample("3", 1 << 14)
    alone = len(encode_integers(values, _zeros(values.size)))
    beside = np.concatenate([values, np.full(1 << 18, 5, dtype=np.int32)])
    contexts = (np.arange(beside.size) >= values.size).astype(np.uint8)
    assert len(encode_integers(beside, contexts)) <= alone + 4


def test_no_integers_are_a_stream_too() -> None:
    empty = np.zeros(0, dtype=np.int32)
    data = encode_integers(empty, _zeros(0))
    assert len(data) < 8
    assert decode_integers(data, _zeros(0)).size == 0


def test_tables_of_sixteen_contexts_are_cheap_beside_few_integers() -> None:
    values, contexts = _sample("sixteen contexts", 1 << 16)
    one = len(encode_integers(values[:16], contexts[:16]))
    assert one < 16 * 8
    tables = 8 * len(encode_integers(values, contexts)) - _order0_bits(values, contexts)
    assert tables < 16 * 30 * 8


def _read(data: bytes, contexts: Bytes) -> Ints | None:
    """Read a damaged stream: raises an `IntegrityError`, or returns one integer per context."""
    try:
        values = decode_integers(data, contexts)
    except IntegrityError:
        return None
    assert values.dtype == np.int32
    assert values.shape == contexts.shape
    return values


@pytest.mark.parametrize("kind", ["1", "300", "sixteen contexts", "mostly zero"])
def test_damage_at_any_byte_is_an_error_or_still_an_array(kind: str) -> None:
    values, contexts = _sample(kind, 150 if kind == "300" else 600)
    data = encode_integers(values, contexts)
    found = 0
    places = range(0, len(data), stride(7))
    for place in places:
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            found += _read(bytes(changed), contexts) is None
    assert found > 0.5 * 3 * len(places) or kind == "300"


@pytest.mark.parametrize("kind", ["1", "300", "sixteen contexts"])
def test_a_stream_cut_short_or_drawn_out_is_an_error(kind: str) -> None:
    values, contexts = _sample(kind, 600)
    data = encode_integers(values, contexts)
    for size in {*range(0, len(data), stride(7)), len(data) - 1}:
        assert _read(data[:size], contexts) is None
    assert _read(data + b"\0", contexts) is None


def test_other_contexts_than_the_encoders_are_no_crash() -> None:
    values, contexts = _sample("sixteen contexts", 600)
    data = encode_integers(values, contexts)
    assert _read(data, contexts[:500]) is None
    assert _read(data, np.roll(contexts, 1)) is None
    with pytest.raises(IntegrityError, match="less than 64"):
        decode_integers(data, contexts + np.uint8(60))


def test_a_context_of_64_is_refused_when_encoding() -> None:
    with pytest.raises(ValueError, match="64"):
        encode_integers(np.zeros(1, dtype=np.int32), np.full(1, 64, dtype=np.uint8))


@given(st.binary(max_size=60), arrays.arrays(np.uint8, st.integers(0, 50), elements=st.just(0)))
def test_any_bytes_are_an_error_or_an_array(data: bytes, contexts: Bytes) -> None:
    _read(data, contexts)
    _read(b"\3\3" + data, contexts)


def _stream(tables: str, rest: bytes, split: int = 3) -> bytes:
    packed = int(tables.ljust(-(-len(tables) // 8) * 8, "0"), 2).to_bytes(-(-len(tables) // 8))
    return bytes([split, len(packed)]) + packed + rest


TWO = "000000010000000011"
"""A table of tokens 0 and 1, equally frequent: resolution 1, Rice parameter 0, no holes."""
_STATE = (1 << 16).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "split"),
        (_stream(TWO, b"\1\0" + _STATE, split=8), "split"),
        (bytes([3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), "length"),
        (bytes([3, 200, 1]), "within its frequency tables"),
        (_stream("0000", b"\0\0"), "are truncated"),
        (_stream("11111111" "1", b"\0\0"), "has token"),
        (_stream("00000001" "0" "101" "000" "0" "11", b"\0\0"), "resolution"),
        (_stream("00000001" "0" "000" "111" "0" "1" + "1" * 7 + "1" * 8, b"\0\0"), "level"),
        (_stream("00000001" "0" "000" "000" "0" + "0" * 14, b"\0\0"), "are truncated"),
        (_stream(TWO + "0" * 14, b"\1\0" + _STATE), "extra bytes"),
        (_stream(TWO + "1", b"\1\0" + _STATE), "extra bytes"),
        (_stream(TWO, b"\0\0"), "do not fit"),
        (_stream(TWO, b"\5\0" + 5 * _STATE), "do not fit"),
        (_stream(TWO, b"\1\1" + _STATE), "do not fit"),
        (_stream(TWO, b"\1\0" + bytes(4)), "is below"),
        (_stream(TWO, b"\1\0" + _STATE), "is truncated"),
        (_stream(TWO, b"\1\1" + b"\xff" * 4 + bytes(2)), "does not end"),
        (_stream("00000000" "1", b"\0\0!"), "raw bits"),
    ],
)  # fmt: skip
def test_hostile_streams_are_named(data: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        decode_integers(data, _zeros(4))


@given(st.lists(st.tuples(st.integers(1, 29), st.integers(0, 2**29 - 1))))
def test_raw_bits_of_mixed_widths_come_back(pairs: list[tuple[int, int]]) -> None:
    widths = np.array([width for width, _ in pairs], dtype=np.uint8)
    values = np.array([value % (1 << width) for width, value in pairs], dtype=np.uint32)
    assert (unpack_raw(pack_raw(values, widths, BY_WIDTH), widths, BY_WIDTH) == values).all()


@given(st.integers(0, 2**35 - 1))
def test_lengths_come_back(value: int) -> None:
    assert read_varint(b"?" + varint(value), 1) == (value, 1 + len(varint(value)))
