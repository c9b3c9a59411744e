from typing import Any

import numpy as np
import pytest
import zstandard
from delta_worlds import FLOATS, INTS, new_writer, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs import lossless
from skillpm.delta.codecs.bitmap import (
    BitmapDecoder,
    BitmapEncoder,
    encode_chunk,
    group_changes,
    ungroup_changes,
)
from skillpm.delta.codecs.shared.coded import Sections, join
from skillpm.delta.coding.payload import PayloadReader, Record
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import from_float64
from skillpm.delta.tensors.words import Words, word_dtype
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import BITS, TensorSpec

dtypes = st.sampled_from(FLOATS + INTS)


def _encoded(spec: TensorSpec, reference: Words, tuned: Words) -> tuple[PayloadReader, Record]:
    writer = new_writer()
    encoder = BitmapEncoder(spec, writer)
    for start in range(0, reference.size, CHUNK):
        encoder.chunk(reference[start : start + CHUNK], tuned[start : start + CHUNK])
    record = encoder.close()
    return reader_of(writer), record


def _decoded(spec: TensorSpec, reference: Words, reader: PayloadReader, record: Record) -> Words:
    decoder = BitmapDecoder(spec, reader, record.settings)
    starts = range(0, reference.size, CHUNK)
    chunks = [decoder.decode_chunk(n, reference[s : s + CHUNK]) for n, s in enumerate(starts)]
    return np.concatenate([*chunks, reference[:0]])


@given(dtypes, st.integers(0, 40), st.data())
def test_any_bit_patterns_of_any_dtype_come_back(
    dtype: str, size: int, data: st.DataObject
) -> None:
    nbytes = size * BITS[dtype] // 8
    spec = TensorSpec("t", dtype, (size,))
    kind = word_dtype(spec.itemsize)
    reference, tuned = (
        np.frombuffer(data.draw(st.binary(min_size=nbytes, max_size=nbytes)), dtype=kind)
        for _ in range(2)
    )
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
    tuned = np.where(mask, reference, tuned)
    assert (_decoded(spec, reference, *_encoded(spec, reference, tuned)) == tuned).all()


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 255)), min_size=1))
def test_grouped_changes_are_put_back_in_their_places(pairs: list[tuple[int, int]]) -> None:
    folded = np.array([value for value, _ in pairs], dtype="<u2")
    contexts = np.array([context for _, context in pairs], dtype=np.uint8)
    changes = group_changes(folded, contexts)
    assert changes.word_ends[-1] == len(pairs)
    assert changes.value_ends[-1] == changes.values.size == np.count_nonzero(folded)
    assert (ungroup_changes(changes.bitmap, changes.values, contexts) == folded).all()


def _light_tune(size: int) -> tuple[Words, Words]:
    """Weights [size] and a fine-tune of them that leaves most bf16 words unchanged."""
    random = np.random.default_rng(3)
    values = 0.05 * random.standard_normal(size)
    reference, _ = from_float64(values, "BF16")
    before = from_float64(values, "BF16")[0].astype("<u4") << np.uint32(16)
    moved = before.view("<f4").astype(np.float64) + 1e-4 * random.standard_normal(size)
    return reference, from_float64(moved, "BF16")[0]


def test_a_light_tune_takes_few_bytes_and_comes_back_over_several_chunks() -> None:
    size = 2 * CHUNK + 4321
    reference, tuned = _light_tune(size)
    spec = TensorSpec("t", "BF16", (size,))
    reader, record = _encoded(spec, reference, tuned)
    assert (_decoded(spec, reference, reader, record) == tuned).all()
    planes = [np.ascontiguousarray((reference ^ tuned).view(np.uint8)[n::2]) for n in range(2)]
    script = sum(len(zstandard.ZstdCompressor(level=3).compress(plane.data)) for plane in planes)
    assert reader.stored_bytes("t") < 0.8 * script


def test_unchanged_chunks_take_no_part() -> None:
    reference, tuned = _light_tune(CHUNK + 10)
    tuned = np.concatenate([reference[:CHUNK], tuned[CHUNK:] + np.uint16(1)])
    spec = TensorSpec("t", "BF16", (CHUNK + 10,))
    reader, record = _encoded(spec, reference, tuned)
    assert record.settings["changed"] == [0, np.count_nonzero(reference != tuned)]
    reader.expect_parts("t", {"1"})
    assert (_decoded(spec, reference, reader, record) == tuned).all()


def _damaged(part: bytes, changed: Any) -> Words:
    """Decode a chunk of 64 words whose part and record are these."""
    reference, _ = _light_tune(64)
    writer = new_writer()
    writer.put_plain("t", "0", part)
    record = Record("bitmap", {"changed": changed})
    writer.describe("t", record)
    return _decoded(TensorSpec("t", "BF16", (64,)), reference, reader_of(writer), record)


def _sections(part: bytes) -> list[bytes]:
    reader = Sections(part, "`t`")
    return [reader.next() for _ in range(3)]


def test_a_part_with_any_byte_changed_is_refused_or_decoded() -> None:
    reference, tuned = _light_tune(64)
    count, part = encode_chunk(TensorSpec("t", "BF16", (64,)), reference, tuned)
    assert (_damaged(part, [count]) == tuned).all()
    refused = 0
    for place in range(len(part)):
        for value in (0, 1, 0x7F, 0xFF, part[place] ^ 0x10):
            try:
                words = _damaged(part[:place] + bytes([value]) + part[place + 1 :], [count])
            except IntegrityError:
                refused += 1
            else:
                assert words.size == 64
    assert refused > len(part)
    for size in range(len(part)):
        with pytest.raises(IntegrityError, match="t"):
            _damaged(part[:size], [count])
    with pytest.raises(IntegrityError, match="extra bytes"):
        _damaged(part + b"\0", [count])


def test_a_bitmap_that_disagrees_with_its_count_is_refused() -> None:
    reference, tuned = _light_tune(64)
    count, part = encode_chunk(TensorSpec("t", "BF16", (64,)), reference, tuned)
    bitmap, *planes = _sections(part)
    flipped = bytes([bitmap[0], bitmap[1] ^ 0x80, *bitmap[2:]])
    with pytest.raises(IntegrityError, match="does not have"):
        _damaged(join([flipped, *planes]), [count])
    unknown = bytes([2, *bitmap[1:]])
    with pytest.raises(IntegrityError, match="is damaged"):
        _damaged(join([unknown, *planes]), [count])


@pytest.mark.parametrize("changed", [None, 3, [], [1, 1], [-1], [65], [True], ["1"], [2.0]])
def test_wrong_counts_are_refused(changed: Any) -> None:
    with pytest.raises(IntegrityError, match="changed"):
        _damaged(b"", changed)


def test_ones_in_the_padding_of_a_bitmap_are_refused() -> None:
    reference = np.arange(3, dtype="u1")
    spec = TensorSpec("t", "U8", (3,))
    reader, record = _encoded(spec, reference, reference + np.uint8(1))
    sections = Sections(reader.plain("t", "0"), "`t`")
    bitmap, plane = sections.next(), sections.next()
    assert bitmap == b"\0\xe0"
    for moved in (b"\0\x61", b"\0\xc1"):
        writer = new_writer()
        writer.put_plain("t", "0", join([moved, plane]))
        writer.describe("t", record)
        with pytest.raises(IntegrityError, match="bits after its end"):
            _decoded(spec, reference, reader_of(writer), record)


def test_it_is_smaller_than_planes_of_the_same_differences() -> None:
    reference, tuned = _light_tune(1 << 18)
    spec = TensorSpec("t", "BF16", (1 << 18,))
    writer = new_writer()
    encoder = lossless.LosslessEncoder(spec, writer, modelled=False)
    encoder.chunk(reference, tuned)
    encoder.close()
    reader, _ = _encoded(spec, reference, tuned)
    assert reader.stored_bytes("t") < reader_of(writer).stored_bytes("t")
