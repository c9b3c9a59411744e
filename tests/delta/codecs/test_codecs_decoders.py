import tracemalloc

import numpy as np
import pytest
from coded_worlds import FAMILIES, GRIDS, Case, case, opened, part_of, referenced, written
from delta_worlds import Model, new_writer, numbers, read_all, reader_of
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from skillpm.delta.codecs import zero
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.shared import coded
from skillpm.delta.codecs.sign import CodedSigns
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.tensors import words as bits
from skillpm.delta.tensors.ports import CHUNK
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

MATRICES = ("svd-ec", "svd-ec+grid")


def _shape(family: str, data: st.DataObject) -> tuple[int, ...]:
    least = 2 if family in MATRICES else 0
    return tuple(data.draw(st.lists(st.integers(1, 7), min_size=least, max_size=4)))


def _same(one: Case) -> bool:
    """Whether two arrays are equal bit for bit; a negative zero differs from a zero."""
    return one.decode().tobytes() == one.expected.tobytes()


@settings(max_examples=examples(60))
@given(st.sampled_from(FAMILIES), st.data())
def test_decoder_returns_the_delta_that_the_encoder_measured(
    family: str, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    scaled = data.draw(st.booleans())
    assert _same(case(family, _shape(family, data), seed=seed, scaled=scaled))


@settings(max_examples=examples(60))
@given(st.sampled_from(GRIDS), st.integers(2, 9), st.integers(2, 40), st.data())
def test_exponents_of_the_reference_may_be_contexts(
    family: str, height: int, width: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bits, "CHUNK", data.draw(st.integers(3, 60)))
        one = referenced(family, (height, width), seed=data.draw(st.integers(0, 2**32 - 1)))
        assert _same(one)
        decoder = CODECS[family].open(one.spec, part_of(one.spec, one.data), one.record.settings)
        assert decoder.delta_of(0) is None


@settings(max_examples=examples(40))
@given(st.sampled_from(FAMILIES), st.integers(2, 9), st.integers(2, 40), st.data())
def test_rows_and_stripes_may_cross_chunks(
    family: str, height: int, width: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bits, "CHUNK", data.draw(st.integers(3, 60)))
        patch.setattr(coded, "STRIPE", data.draw(st.integers(20, 60)))
        assert _same(case(family, (height, width), seed=data.draw(st.integers(0, 99))))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(3, 700_001), (700_001, 3), (2, CHUNK + 5)])
def test_chunks_of_real_size_round_trip(family: str, shape: tuple[int, int]) -> None:
    assert _same(case(family, shape))


@pytest.mark.parametrize("shape", [(1, 5_000_000), (5_000_000,)])
def test_row_wider_than_a_stripe_round_trips(shape: tuple[int, ...]) -> None:
    assert _same(case("grid", shape, scaled=False, spread=0.2))


def test_large_integers_and_negative_steps_follow_the_formula() -> None:
    spec = TensorSpec("t", "F32", (2, 5))
    codes = np.array([[0, 1, -4, 5, -128], [2**31 - 1, -(2**31), 200, -3, 2]], dtype=np.int32)
    levels = np.array([0.5, 1.0, -2.0, 3.0, 4.0])
    for rows in (codes[:1], codes):
        one = CodedGrid(rows, levels, None, None, 0)
        plain = [
            (-1 if q < 0 else 1)
            * (0.0 if not q else levels[min(abs(q), 4)] + 0.5 * max(abs(q) - 4, 0))
            for q in rows.reshape(-1).tolist()
        ]
        assert (one.decoded_delta().reshape(-1) == plain).all()
        shaped = TensorSpec("t", spec.dtype, rows.shape)
        assert _same(written("grid", shaped, one, one.decoded_delta()))


def test_signs_are_scaled_by_row_and_column() -> None:
    negative = np.array([[True, False], [False, True]])
    one = CodedSigns(negative, np.array([1, -1], np.int32), np.array([0, 4], np.int32), 0)
    assert one.decoded_delta().tolist() == [[-2.0, 32.0], [0.5, -8.0]]


@pytest.mark.parametrize("family", [*FAMILIES, "zero"])
def test_empty_tensor_has_no_delta(family: str) -> None:
    spec = TensorSpec("t", "F32", (0, 4))
    reader = reader_of(_zero(spec))
    if family == "zero":
        zero.ZeroDecoder(spec, reader, {})
        return
    with pytest.raises(IntegrityError, match=r"`t` (has no elements|is not a matrix)"):
        CODECS[family].open(spec, reader, {"low": {}, "rest": {}})


@pytest.mark.parametrize("family", MATRICES)
def test_vector_has_no_singular_factors(family: str) -> None:
    spec = TensorSpec("t", "F32", (4,))
    with pytest.raises(IntegrityError, match="`t` is not a matrix"):
        CODECS[family].open(spec, reader_of(_zero(spec)), {})


def _zero(spec: TensorSpec) -> PayloadWriter:
    writer = new_writer()
    zero.encode(spec, writer)
    return writer


def test_codecs_of_auto_are_lossy_and_registered() -> None:
    assert all(CODECS[name].lossy for name in (*FAMILIES, "zero"))


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "F8_E5M2"])
def test_zero_keeps_every_bit_pattern(dtype: str) -> None:
    spec = TensorSpec("t", dtype, (1 << 16,))
    random = np.random.default_rng(6)
    words = random.integers(0, 256, spec.nbytes, dtype=np.uint8).tobytes()
    base = Model({"t": (dtype, spec.shape, words)})
    pack = opened(spec, _zero(spec), "zero")
    assert read_all(Composition(base, [WeightedPack(pack)]), "t") == words
    deltas = [delta for _, _, delta in pack.decode("t", base)]
    assert all(delta is not None and not delta.any() for delta in deltas)


def test_zero_has_no_settings_and_no_parts() -> None:
    spec = TensorSpec("t", "F32", (4,))
    with pytest.raises(IntegrityError, match="no settings"):
        zero.ZeroDecoder(spec, reader_of(_zero(spec)), {"fine": 1})
    writer = _zero(spec)
    writer.put_plain("t", "d", b"1")
    with pytest.raises(IntegrityError, match="parts that its codec needs"):
        zero.ZeroDecoder(spec, reader_of(writer), {})


@pytest.mark.parametrize("family", FAMILIES)
def test_pack_adds_the_delta_to_its_base(family: str) -> None:
    spec = TensorSpec("t", "F64", (5, 9))
    random = np.random.default_rng(7)
    values = random.normal(size=spec.elements)
    one = case(family, spec.shape)
    writer = new_writer()
    writer.put_plain("t", "d", one.data)
    writer.describe("t", one.record)
    base = Model({"t": numbers("F64", spec.shape, values)})
    grafted = Composition(base, [WeightedPack(opened(spec, writer, family))])
    assert read_all(grafted, "t") == (values + one.expected).tobytes()


def _peak(one: Case, chunks: int) -> int:
    """Return the peak memory of opening a decoder and decoding the first chunks."""
    writer = new_writer()
    writer.put_plain("t", "d", one.data)
    writer.describe("t", one.record)
    reader = reader_of(writer)
    tracemalloc.start()
    try:
        decoder = CODECS[one.record.codec].open(one.spec, reader, one.record.settings)
        for chunk in range(chunks):
            decoder.delta_of(chunk)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_large_grid_is_decoded_in_the_memory_of_a_stripe() -> None:
    spec = TensorSpec("t", "BF16", (4096, 14336))
    random = np.random.default_rng(8)
    codes = (random.random(spec.shape, dtype=np.float32) < 0.05).astype(np.int32)
    one = CodedGrid(codes, np.array([0.1, 0.1, 0.2, 0.3, 0.4]), None, None, 0)
    made = written("grid", spec, one, np.zeros(0))
    assert _peak(made, len(bits.chunk_spans(spec))) < 28 * coded.STRIPE


def test_factors_are_decoded_in_the_memory_of_a_stripe() -> None:
    one = case("svd-ec", (200_000, 24), rank=24)
    assert one.coded.left.size > coded.STRIPE
    assert _peak(one, len(bits.chunk_spans(one.spec))) < 28 * coded.STRIPE


def test_chunk_of_a_wide_row_uses_memory_for_its_own_entries() -> None:
    one = case("svd-ec", (2, 6 * CHUNK), rank=1, scaled=False)
    before = _peak(one, 0)
    assert _peak(one, 12) <= max(before, 8 * (6 + 3) * CHUNK)
