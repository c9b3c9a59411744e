"""Kernels of conversion, rounding, sums and sketches give the bits of their reference in numpy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.shared.base import add_and_round
from skillpm.delta.kernels import floats as kernels
from skillpm.delta.kernels.choice import NUMBA, NUMPY, SETTINGS
from skillpm.delta.tensors.countsketch import BLOCK, Sketcher
from skillpm.delta.tensors.rounding import FORMATS, Floats, from_float64, round_sum, to_float64
from skillpm.delta.tensors.words import Words
from skillpm.errors import GraftError

T = TypeVar("T")
FORMS = ("BF16", "F16", "F32")
WORD: dict[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<u2"),
    "F32": np.dtype("<u4"),
}


@contextmanager
def implementation(name: str) -> Iterator[None]:
    with mock.patch.object(SETTINGS, "demanded", name):
        yield


def both(work: Callable[[], T]) -> tuple[T, T]:
    """Return the results of numpy and of the kernels."""
    with implementation(NUMPY):
        expected = work()
    with implementation(NUMBA):
        return expected, work()


def _edges(form: str) -> list[float]:
    """Values around every boundary of a format: ties, subnormal numbers, overflow, specials."""
    fmt = FORMATS[form]
    smallest = np.ldexp(1.0, fmt.least_exponent - fmt.precision + 1)
    least, ulp = np.ldexp(1.0, fmt.least_exponent), np.ldexp(1.0, 1 - fmt.precision)
    middles = [1 + ulp / 2, 1 + 3 * ulp / 2, smallest / 2, 1.5 * smallest, 2.5 * smallest]
    middles += [least - smallest / 2, least + smallest / 2, fmt.largest * (1 + ulp / 4)]
    near = [np.nextafter(value, to) for value in middles for to in (0.0, np.inf)]
    tiny = [0.0, 5e-324, 2.0**-1022, smallest, least, least - smallest]
    values = [*middles, *near, *tiny, 1.0, fmt.largest, 2 * fmt.largest, 1e308, np.inf]
    return [*values, *(-value for value in values), np.nan]


@pytest.mark.parametrize("form", FORMS)
def test_every_word_of_16_bits_and_many_of_32_widen_to_the_same_value(form: str) -> None:
    kind = WORD[form]
    words = np.arange(1 << 16).astype(kind) << np.array(16 if form == "F32" else 0, dtype=kind)
    expected, actual = both(lambda: to_float64(words, form))
    assert np.array_equal(expected, actual, equal_nan=True)
    assert (np.signbit(expected) == np.signbit(actual)).all()


@pytest.mark.parametrize("form", FORMS)
def test_boundaries_round_to_the_same_words(form: str) -> None:
    values = np.array(_edges(form))
    (words, bad), (kernel_words, kernel_bad) = both(lambda: from_float64(values, form))
    assert (bad == kernel_bad).all()
    assert (words == kernel_words).all()
    assert words.dtype == kernel_words.dtype
    assert bad.any()
    assert not bad.all()


@given(st.sampled_from(FORMS), st.lists(st.floats(width=64), min_size=1, max_size=40))
def test_any_numbers_round_to_the_same_words(form: str, numbers: list[float]) -> None:
    values = np.array(numbers)
    (words, bad), (kernel_words, kernel_bad) = both(lambda: from_float64(values, form))
    assert (bad == kernel_bad).all()
    assert (words == kernel_words).all()


@given(st.sampled_from(FORMS), st.data())
def test_numbers_near_ties_round_to_the_same_words(form: str, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=20))
    moves = data.draw(st.lists(st.sampled_from((-1, 0, 1)), min_size=20, max_size=20))
    kind = WORD[form]
    words = np.array(bits).astype(kind) << np.array(16 if form == "F32" else 0, dtype=kind)
    exact, above = to_float64(words, form), to_float64(words + kind.type(1), form)
    with np.errstate(all="ignore"):
        middle = exact + (above - exact) / 2
        step = np.array(moves[: len(bits)]) * np.spacing(np.abs(middle))
        values = middle + np.where(np.isfinite(step), step, 0.0)
    (rounded, bad), (kernel_rounded, kernel_bad) = both(lambda: from_float64(values, form))
    assert (bad == kernel_bad).all()
    assert (rounded == kernel_rounded).all()


@given(st.sampled_from(FORMS), st.data())
def test_sums_round_to_the_same_words_and_fail_as_often(form: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 30))
    top = 2 ** (8 * WORD[form].itemsize) - 1
    reference = np.array(data.draw(st.lists(st.integers(0, top), min_size=size, max_size=size)))
    words = reference.astype(WORD[form])
    deltas = data.draw(st.lists(st.floats(width=64), min_size=size, max_size=size))
    with np.errstate(all="ignore"):
        total = to_float64(words, form) + np.array(deltas)
    (expected, failures), (actual, kernel_failures) = both(lambda: round_sum(words, total, form))
    assert failures == kernel_failures
    if not failures:
        assert (expected == actual).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_reference_that_is_not_finite_keeps_its_bits(form: str) -> None:
    special = to_words([np.inf, -np.inf, np.nan, 1.0], form)
    for name in (NUMPY, NUMBA):
        with implementation(name):
            words = add_and_round(special, np.array([1.0, np.inf, 2.0, 0.0]), form, "t")
            assert (words == special).all()
            with pytest.raises(GraftError, match="`t` overflows"):
                add_and_round(special, np.array([0.0, 0.0, 0.0, 1e300]), form, "t")


def to_words(values: list[float], form: str) -> Words:
    """Return bit patterns, of values that may be NaN or infinite."""
    single = np.array(values, dtype=np.float32)
    if form == "F32":
        return single.view("<u4")
    if form == "F16":
        return single.astype(np.float16).view("<u2")
    return (single.view(np.uint32) >> np.uint32(16)).astype("<u2")


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=30),
    st.floats(-3, 3),
)
def test_a_weighted_delta_is_added_with_two_roundings(
    pairs: list[tuple[float, float]], weight: float
) -> None:
    total, delta = (np.array(column) for column in zip(*pairs, strict=True))
    expected = total + delta * weight
    kernels.add_weighted(total, delta, weight)
    assert total.tobytes() == expected.tobytes()


def _sketched(delta: Floats) -> bytes:
    sketcher = Sketcher("some.tensor")
    for start in range(0, delta.size, 2 * BLOCK):
        sketcher.add(delta[start : start + 2 * BLOCK])
    return sketcher.buckets.tobytes()


@pytest.mark.parametrize("size", [1, 255, 256, 257, BLOCK - 1, BLOCK, 5 * BLOCK + 12_345])
def test_a_sketch_has_the_same_bits(size: int) -> None:
    random = np.random.default_rng(size)
    delta = random.standard_normal(size) * np.exp2(random.integers(-40, 40, size))
    delta[random.integers(0, size, 3)] = [np.nan, np.inf, -0.0]
    expected, actual = both(lambda: _sketched(delta))
    assert expected == actual
