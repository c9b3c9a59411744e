import numpy as np
import pytest
from delta_worlds import FLOATS, INTS
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.words import (
    apply_difference,
    chunk_spans,
    difference,
    from_planes,
    ordered,
    planes_of,
    unordered,
    unzigzag,
    word_dtype,
    words_of,
    zigzag,
)
from skillpm.spec.dtypes import BITS, TensorSpec

dtypes = st.sampled_from(FLOATS + INTS)


def _words(data: bytes, dtype: str) -> np.ndarray:
    size = BITS[dtype] // 8
    return words_of(data[: len(data) // size * size], TensorSpec("t", dtype, (len(data) // size,)))


@given(st.binary(max_size=256), dtypes)
def test_integer_maps_have_an_inverse_for_every_bit_pattern(data: bytes, dtype: str) -> None:
    words = _words(data, dtype)
    assert (unordered(ordered(words, dtype), dtype) == words).all()
    assert (ordered(unordered(words, dtype), dtype) == words).all()
    assert (unzigzag(zigzag(words)) == words).all()
    assert (zigzag(unzigzag(words)) == words).all()
    if words.size:
        assert (from_planes(planes_of(words)) == words).all()


@given(st.binary(min_size=8, max_size=256), st.binary(min_size=8, max_size=256), dtypes)
def test_difference_round_trips(one: bytes, other: bytes, dtype: str) -> None:
    size = min(len(one), len(other))
    reference, tuned = _words(one[:size], dtype), _words(other[:size], dtype)
    folded = difference(reference, tuned, dtype)
    assert (apply_difference(reference, folded, dtype) == tuned).all()
    assert ((folded == 0) == (reference == tuned)).all()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F16", "BF16"])
def test_integer_maps_are_bijections_on_all_words(dtype: str) -> None:
    words = np.arange(1 << BITS[dtype], dtype=word_dtype(BITS[dtype] // 8))
    for mapped in (ordered(words, dtype), zigzag(words)):
        assert np.unique(mapped).size == words.size


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F16", "BF16"])
def test_ordered_words_have_the_order_of_the_numbers(dtype: str) -> None:
    words = np.arange(1 << BITS[dtype], dtype=word_dtype(BITS[dtype] // 8))
    values = to_float64(words, dtype)
    finite = np.isfinite(values)
    by_word = values[finite][np.argsort(ordered(words, dtype)[finite])]
    assert (np.diff(by_word) >= 0).all()


def test_neighbours_fold_to_small_words() -> None:
    words = np.array([5, 6, 4], dtype="<u2")
    assert difference(words[:1].repeat(3), words, "I16").tolist() == [0, 2, 1]


def test_chunk_spans_cover_a_tensor_once() -> None:
    assert chunk_spans(TensorSpec("t", "F32", (CHUNK + 3,))) == [(0, CHUNK), (CHUNK, CHUNK + 3)]
    assert chunk_spans(TensorSpec("t", "F32", (0, 7))) == []
    assert chunk_spans(TensorSpec("t", "F4", (6,))) == [(0, 3)]
