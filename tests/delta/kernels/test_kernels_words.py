"""Kernels of words and their contexts give the results of their reference."""

import numpy as np
import pytest
from both_kernels import agreed, is_error
from hypothesis import given
from hypothesis import strategies as st
from thoroughness import is_thorough

from skillpm.delta.codecs.lossless import exponent_order
from skillpm.delta.codecs.lossless_contexts import (
    Span,
    choose_model,
    decode_modelled,
    encode_modelled,
    exponents_of,
)
from skillpm.delta.tensors.words import Words, apply_difference, difference, word_dtype
from skillpm.spec.dtypes import TensorSpec

SIZES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I64": 8, "I32": 4, "U16": 2,
         "I8": 1, "BOOL": 1}  # fmt: skip
PLACES = 9 if is_thorough() else 3
"""Damaged bytes of each part."""
MODELLED = [dtype for dtype, size in SIZES.items() if size <= 4]


def _pair(dtype: str, size: int, seed: int) -> tuple[Words, Words]:
    """Words of any bits, and words that differ from them by a little, or by anything."""
    random = np.random.default_rng(seed)
    kind = word_dtype(SIZES[dtype])
    before = random.integers(0, 256, size * kind.itemsize, dtype=np.uint8).view(kind)
    after = random.integers(0, 256, size * kind.itemsize, dtype=np.uint8).view(kind)
    near = before + random.integers(0, 9, size).astype(kind)
    return before, np.where(random.random(size) < 0.2, after, near)


@given(st.sampled_from(list(SIZES)), st.integers(0, 500), st.integers(0, 99))
def test_both_take_and_apply_the_same_differences(dtype: str, size: int, seed: int) -> None:
    before, after = _pair(dtype, size, seed)
    folded = agreed(difference, before, after, dtype)
    assert (agreed(apply_difference, before, folded, dtype) == after).all()


@pytest.mark.parametrize("dtype", ["BF16", "F16", "I16", "U16"])
def test_both_take_every_difference_of_sixteen_bits(dtype: str) -> None:
    before = np.arange(1 << 16, dtype="<u2")
    for step in (0, 1, 0x7FFF, 0x8000, 0xFFFF):
        after = before + np.uint16(step)
        folded = agreed(difference, before, after, dtype)
        assert (agreed(apply_difference, before, folded, dtype) == after).all()


def test_words_that_are_not_contiguous_are_handled_too() -> None:
    before, after = (words[::2] for words in _pair("BF16", 1000, 3))
    folded = agreed(difference, before, after, "BF16")
    assert (agreed(apply_difference, before, folded, "BF16") == after).all()


def _moved(dtype: str, shape: tuple[int, int], kind: str) -> tuple[Words, Words]:
    """Weights, and weights of which some rows or columns move more than others, or not at all."""
    random = np.random.default_rng(5)
    size = shape[0] * shape[1]
    words = random.standard_normal(size).astype(np.float32).view("<u4")
    words = (words >> (32 - 8 * SIZES[dtype])).astype(word_dtype(SIZES[dtype]))
    step = np.ones(shape[0]) if kind == "even" else 4.0 ** (np.arange(shape[0]) % 4)
    if kind == "still":
        step[::3] = 0
    steps = np.outer(step, 3.0 ** (np.arange(shape[1]) % 5) if kind == "columns" else 1)
    moves = np.rint(random.standard_normal(shape) * steps).reshape(-1)
    return words, words + moves.astype(np.int64).astype(words.dtype)


@pytest.mark.parametrize("kind", ["even", "uneven", "still", "columns"])
@pytest.mark.parametrize("shape", [(200, 300), (3, 5), (9, 17)])
@pytest.mark.parametrize("dtype", MODELLED)
def test_both_choose_the_same_contexts(dtype: str, shape: tuple[int, int], kind: str) -> None:
    spec = TensorSpec("a", dtype, shape)
    before, after = _moved(dtype, shape, kind)
    for start, stop in ((0, before.size), (before.size // 3, before.size - 1)):
        span = Span(spec, start, stop - start)
        reference = before[start:stop]
        folded = difference(reference, after[start:stop], dtype)

        def encoded(span: Span, reference: Words, folded: Words) -> bytes:
            return encode_modelled(choose_model(span, reference, folded), span, reference, folded)

        part = agreed(encoded, span, reference, folded)
        assert (agreed(decode_modelled, part, span, reference) == folded).all()
        for place in range(0, len(part), max(1, len(part) // PLACES)):
            changed = bytearray(part)
            changed[place] ^= 0x55
            agreed(decode_modelled, bytes(changed), span, reference)
        assert is_error(agreed(decode_modelled, part[:-1], span, reference))


@pytest.mark.parametrize("dtype", [*SIZES, "F8_E5M2"])
def test_both_have_the_same_exponents(dtype: str) -> None:
    words, _ = _pair(dtype if dtype in SIZES else "I8", 999, 2)
    agreed(exponents_of, words, dtype)


@given(st.sampled_from(["F64", "F32", "F16", "BF16"]), st.integers(0, 999), st.integers(0, 99))
def test_both_sort_by_exponent_alike(dtype: str, size: int, seed: int) -> None:
    words, _ = _pair(dtype, size, seed)
    order = agreed(exponent_order, words, dtype)
    assert (np.sort(order) == np.arange(size)).all()
