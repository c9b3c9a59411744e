"""Signs of rows and columns: a flip is its own inverse, and signs are found where they exist."""

import numpy as np
import pytest
from delta_worlds import new_writer, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.lossless import LosslessDecoder, LosslessEncoder
from skillpm.delta.codecs.shared.flips import SignGrid
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.delta.tensors.words import Words, chunk_spans, word_dtype
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec


def tuned_pair(shape: tuple[int, int], *, common: bool, seed: int = 3) -> tuple[Words, Words]:
    """Return words of a bf16 matrix before and after; `common`: rows and columns share signs."""
    random = np.random.default_rng(seed)
    weights = random.standard_normal(shape)
    moves = np.abs(random.standard_normal(shape)) * 0.01
    signs = random.choice([-1.0, 1.0], shape)
    if common:
        signs = random.choice([-1.0, 1.0], (shape[0], 1)) * random.choice([-1.0, 1.0], shape[1])
        signs = signs * np.where(random.random(shape) < 0.1, -1.0, 1.0)
    before, _ = from_float64(weights.reshape(-1), "BF16")
    after, _ = from_float64((to_float64(before, "BF16") + (moves * signs).reshape(-1)), "BF16")
    return before, after


@given(st.sampled_from([1, 2, 4]), st.integers(1, 9), st.integers(2, 9), st.data())
def test_a_flip_is_its_own_inverse(
    width: int, rows: int, columns: int, data: st.DataObject
) -> None:
    top = 2 ** (8 * width) - 1
    start = data.draw(st.integers(0, columns - 1))
    size = data.draw(st.integers(4 * columns, 4 * columns + rows * columns))
    spec = TensorSpec("t", "F32", (10_000, columns))
    grid = SignGrid.of(spec, start, size)
    assert grid is not None
    word = st.one_of(st.integers(0, top), st.sampled_from([0, 1, 2, top - 1, top]))
    folded = np.array(data.draw(st.lists(word, min_size=size, max_size=size)))
    folded = folded.astype(word_dtype(width))
    signs = np.frombuffer(
        data.draw(st.binary(min_size=grid.nbytes, max_size=grid.nbytes)), np.uint8
    )
    flipped = grid.flip(folded, signs)
    assert flipped.dtype == folded.dtype
    assert (grid.flip(flipped, signs) == folded).all()
    assert ((flipped == 0) == (folded == 0)).all()


def test_signs_that_rows_and_columns_share_are_found() -> None:
    spec = TensorSpec("t", "BF16", (200, 50))
    random = np.random.default_rng(1)
    rows, columns = random.random(200) < 0.5, random.random(50) < 0.5
    negative = (rows[:, None] ^ columns).reshape(-1)
    folded = np.where(negative, 3, 4).astype("<u2")
    grid = SignGrid.of(spec, 0, folded.size)
    assert grid is not None
    signs = grid.find(folded)
    assert signs is not None
    assert set(grid.flip(folded, signs).tolist()) in ({3}, {4})


def test_signs_without_a_pattern_are_not_stored() -> None:
    spec = TensorSpec("t", "BF16", (200, 50))
    folded = np.random.default_rng(1).integers(1, 5, 10_000).astype("<u2")
    grid = SignGrid.of(spec, 0, folded.size)
    assert grid is not None
    assert grid.find(folded) is None
    assert grid.find(np.zeros_like(folded)) is None


@pytest.mark.parametrize("shape", [(64,), (3, 2**30), (10, 1)])
def test_vectors_and_wide_rows_have_no_grid(shape: tuple[int, ...]) -> None:
    assert SignGrid.of(TensorSpec("t", "BF16", shape), 0, 64) is None


@pytest.mark.parametrize("shape", [(600, 512), (CHUNK // 500 + 700, 500)])
def test_a_matrix_with_common_signs_is_smaller_and_exact(shape: tuple[int, int]) -> None:
    spec = TensorSpec("t", "BF16", shape)
    sizes = {}
    for common in (True, False):
        before, after = tuned_pair(shape, common=common)
        writer = new_writer()
        encoder = LosslessEncoder(spec, writer)
        for start, stop in chunk_spans(spec):
            encoder.chunk(before[start:stop], after[start:stop])
        record = encoder.close()
        assert set(record.settings["modes"]) == ({"f"} if common else {"r"})
        reader = reader_of(writer)
        decoder = LosslessDecoder(spec, reader, record.settings)
        for number, (start, stop) in enumerate(chunk_spans(spec)):
            assert (decoder.decode_chunk(number, before[start:stop]) == after[start:stop]).all()
        sizes[common] = reader.stored_bytes("t")
    assert sizes[True] < 0.95 * sizes[False]


def test_mode_f_is_refused_for_a_shape_that_has_no_grid() -> None:
    spec = TensorSpec("t", "BF16", (64,))
    with pytest.raises(IntegrityError, match="mode `f` does not support its shape"):
        LosslessDecoder(spec, reader_of(new_writer()), {"modes": "f", "counts": []})


def test_signs_of_another_length_are_refused() -> None:
    spec = TensorSpec("t", "BF16", (600, 512))
    before, after = tuned_pair((600, 512), common=True)
    writer = new_writer()
    encoder = LosslessEncoder(spec, writer)
    encoder.chunk(before, after)
    record = encoder.close()
    damaged = new_writer()
    damaged.put_plain("t", "0r", reader_of(writer).plain("t", "0r"))
    damaged.put_plain("t", "0f", bytes(10))
    damaged.describe("t", record)
    decoder = LosslessDecoder(spec, reader_of(damaged), record.settings)
    with pytest.raises(IntegrityError, match="has 10 bytes, expected 139"):
        decoder.decode_chunk(0, before)
