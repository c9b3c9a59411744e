"""Kernels of the entropy coder give the bytes of their reference, and refuse the same streams."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from both_kernels import agreed, is_error
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from thoroughness import examples

from skillpm.delta.coding.frequency_tables import RESOLUTIONS, Tables, choose_tables
from skillpm.delta.coding.integers import (
    SPLITS,
    decode_folded,
    decode_integers,
    encode_folded,
    encode_integers,
    integer_bits,
)
from skillpm.delta.coding.raw_bits import BY_WIDTH, byte_counts, pack_raw, unpack_raw
from skillpm.delta.coding.stored_tables import dump_tables, load_tables

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
KINDS = ("0.2", "1", "30", "3000", "wide", "contexts", "runs")


def _sample(kind: str, size: int, seed: int = 1) -> tuple[Ints, Bytes]:
    """Integers of a kind, and their contexts."""
    random = np.random.default_rng(seed)
    contexts = np.zeros(size, dtype=np.uint8)
    if kind == "wide":
        values = random.integers(-(2**31), 2**31, size)
    elif kind == "contexts":
        contexts = random.integers(0, 64, size).astype(np.uint8)
        values = np.rint(random.standard_normal(size) * 2.0 ** (contexts / 6))
    elif kind == "runs":  # some contexts have a single token, which is not coded
        contexts = np.repeat(np.arange(8, dtype=np.uint8), -(-size // 8))[:size]
        values = np.where(contexts % 3 == 1, 5, random.integers(-9, 9, size))
    else:
        values = np.rint(random.standard_normal(size) * float(kind))
    return values.astype(np.int32), contexts


def _plain(tables: Tables) -> tuple[Any, ...]:
    arrays_of = (tables.used, tables.frequencies, tables.levels, tables.resolutions)
    return (*arrays_of, tables.stored_bits, tables.data_bits, tables.coded)


@pytest.mark.parametrize("size", [1, 7, 1000, (1 << 17) + 5])
@pytest.mark.parametrize("kind", KINDS)
def test_both_write_and_read_the_same_streams(kind: str, size: int) -> None:
    values, contexts = _sample(kind, size)
    data = agreed(encode_integers, values, contexts)
    assert (agreed(decode_integers, data, contexts) == values).all()
    agreed(integer_bits, values, contexts)


@given(st.data(), st.integers(0, 300))
def test_both_write_the_same_stream_of_any_integers(data: st.DataObject, size: int) -> None:
    number = st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1))
    folded = data.draw(arrays.arrays(np.uint32, size, elements=number))
    contexts = data.draw(arrays.arrays(np.uint8, size, elements=st.integers(0, 63)))
    stream = agreed(encode_folded, folded, contexts)
    assert (agreed(decode_folded, stream, contexts) == folded).all()


@pytest.mark.parametrize("kind", KINDS)
def test_both_refuse_the_same_damaged_streams(kind: str) -> None:
    values, contexts = _sample(kind, 600)
    with_damage = 0
    data = agreed(encode_integers, values, contexts)
    step = max(1, len(data) // examples(150))
    for place in range(0, len(data), step):
        for flip in (1, 0x40, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            with_damage += is_error(agreed(decode_integers, bytes(changed), contexts))
    assert with_damage
    for stop in range(0, len(data), step):
        assert is_error(agreed(decode_integers, data[:stop], contexts))
    assert is_error(agreed(decode_integers, data + b"\0", contexts))


def test_both_refuse_the_same_streams_with_many_wrong_bytes() -> None:
    random = np.random.default_rng(7)
    values, contexts = _sample("contexts", 2000)
    data = np.frombuffer(agreed(encode_integers, values, contexts), dtype=np.uint8)
    refused = 0
    for _ in range(examples(200)):
        changed = data.copy()
        places = random.integers(0, data.size, random.integers(1, 20))
        changed[places] = random.integers(0, 256, places.size)
        refused += is_error(agreed(decode_integers, changed.tobytes(), contexts))
    assert refused


@given(st.sampled_from(SPLITS), st.binary(max_size=80), st.integers(0, 40))
def test_both_refuse_the_same_bytes(split: int, data: bytes, size: int) -> None:
    contexts = (np.arange(size) % 3).astype(np.uint8)
    tables = min(len(data), 30)
    agreed(decode_folded, bytes([split, tables]) + data, contexts)


def test_both_refuse_contexts_from_64_on() -> None:
    contexts = np.array([0, 64], dtype=np.uint8)
    values = np.zeros(2, dtype=np.int32)
    assert is_error(agreed(encode_integers, values, contexts))
    data = agreed(encode_integers, values, contexts % 64)
    assert is_error(agreed(decode_integers, data, contexts))


@given(st.data(), st.integers(1, 5), st.sampled_from([1, 2, 8, 256]))
def test_both_choose_and_store_the_same_tables(data: st.DataObject, rows: int, tokens: int) -> None:
    count = st.one_of(st.just(0), st.integers(0, 50), st.integers(0, 2**24))
    counts = np.zeros((rows, 256), dtype=np.int64)
    counts[:, :tokens] = data.draw(arrays.arrays(np.int64, (rows, tokens), elements=count))
    agreed(lambda: _plain(choose_tables(counts)))
    agreed(lambda: _plain(choose_tables(counts, RESOLUTIONS[2:3])))
    tables = choose_tables(counts)
    stored = agreed(dump_tables, tables)
    agreed(lambda: _plain(load_tables(stored, tables.used, 256)))


@given(st.binary(max_size=120), st.integers(0, 4), st.integers(1, 256))
def test_both_parse_the_same_tables_from_any_bytes(data: bytes, rows: int, limit: int) -> None:
    used = np.arange(rows, dtype=np.int64)

    def parsed(stored: bytes) -> tuple[Any, ...]:
        tables = load_tables(stored, used, limit)
        return tables.used, tables.frequencies, tables.levels, tables.resolutions

    agreed(parsed, data)
    # Bytes that begin with the head of a table get further: token 9, resolution 4, Rice 1.
    agreed(parsed, bytes([9, 0b0010_0010]) + data)


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2**29 - 1)), max_size=200))
def test_both_pack_the_same_raw_bits(pairs: list[tuple[int, int]]) -> None:
    widths = np.array([width for width, _ in pairs], dtype=np.uint8)
    values = np.array([value % (1 << width) for width, value in pairs], dtype=np.uint32)
    data = agreed(pack_raw, values, widths, BY_WIDTH)
    assert (agreed(unpack_raw, data, widths, BY_WIDTH) == values).all()
    assert is_error(agreed(unpack_raw, data + b"\0", widths, BY_WIDTH))
    if data:
        assert is_error(agreed(unpack_raw, data[:-1], widths, BY_WIDTH))


@given(st.binary(max_size=300))
def test_both_count_the_same_bytes(data: bytes) -> None:
    counts = agreed(byte_counts, np.frombuffer(data, dtype=np.uint8))
    assert counts.sum() == len(data)
