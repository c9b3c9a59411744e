"""Sums and functions that are the same on every machine, compared with exact arithmetic."""

import math
import random
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.merging import selection
from skillpm.delta.merging.exponential import exp, tanh
from skillpm.delta.merging.selection import Largest, edges, ranked
from skillpm.delta.merging.vectors import ExactSum, Stream, share

BOUND = Fraction(1, 2**50)
numbers = st.floats(1e-30, 30.0) | st.floats(-30.0, -1e-30)
sizes = st.lists(st.floats(0.0, 1e300, allow_subnormal=True), min_size=1, max_size=50)


def _exp(value: float) -> Fraction:
    with localcontext(prec=60):
        return Fraction(Decimal(value).exp())


@given(st.floats(-700.0, 709.0))
def test_exp_is_within_its_error_bound(value: float) -> None:
    found, exact = Fraction(float(exp(np.array([value]))[0])), _exp(value)
    assert abs(found - exact) <= BOUND * exact


def test_exp_is_within_its_error_bound_over_a_dense_range() -> None:
    values = np.linspace(-25.0, 25.0, 401)
    found = exp(values)
    worst = max(
        abs(Fraction(float(one)) / _exp(float(value)) - 1)
        for one, value in zip(found, values, strict=True)
    )
    assert worst <= BOUND


@given(numbers | st.floats(1e-30, 1e-3) | st.floats(0.2, 0.3))
def test_tanh_is_within_its_error_bound(value: float) -> None:
    found = Fraction(float(tanh(np.array([value]))[0]))
    with localcontext(prec=80):
        twice = (2 * Decimal(value)).exp()
        exact = Fraction((twice - 1) / (twice + 1))
    assert abs(found - exact) <= BOUND * abs(exact)


def test_exp_and_tanh_saturate_at_extreme_values() -> None:
    ends = np.array([-np.inf, -1e9, 0.0, -0.0, 1e9, np.inf])
    assert exp(ends).tolist()[:4] == [0.0, 0.0, 1.0, 1.0]
    assert exp(ends)[4] == exp(ends)[5] == exp(np.array([709.0]))[0]
    assert tanh(ends).tolist() == [-1.0, -1.0, 0.0, -0.0, 1.0, 1.0]
    assert math.copysign(1.0, tanh(ends)[3]) == -1.0


def _sum(values: list[float] | np.ndarray, pieces: int = 1) -> float:
    array = np.array(values)
    exact = ExactSum(float(array.max()), array.size)
    for piece in np.array_split(array, pieces):
        exact.add(piece)
    return exact.total


@given(sizes, st.randoms(use_true_random=False), st.integers(1, 5))
def test_exact_sum_is_order_independent_and_nearly_exact(
    values: list[float], order: random.Random, pieces: int
) -> None:
    found = _sum(values)
    shuffled = list(values)
    order.shuffle(shuffled)
    assert _sum(shuffled, pieces) == found
    exact = math.fsum(values)
    assert abs(found - exact) <= 2**-50 * exact + 5e-324


def test_exact_sum_keeps_many_small_elements_beside_a_large_one() -> None:
    values = np.full(1 << 20, 2.0**-60)
    values[77] = 1.0
    assert _sum(values) == math.fsum(values)
    assert _sum(np.zeros(3)) == 0.0


def _stream(values: np.ndarray, size: int) -> Stream:
    return lambda: ([values[at : at + size]] for at in range(0, values.size, size))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 40), st.integers(1, 9))
def test_largest_selects_like_a_stable_sort(values: list[int], count: int, block: int) -> None:
    array = np.array(values, dtype=np.float64)
    stream = _stream(array, block)
    largest = Largest(count, edges(stream, array.size, [count])[0])
    mask = np.concatenate([largest.mask(blocks[0]) for blocks in stream()])
    order = sorted(range(len(values)), key=lambda n: (-values[n], n))
    assert sorted(np.flatnonzero(mask).tolist()) == sorted(order[:count])


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=60), st.data())
def test_ranked_finds_what_sorting_does(values: list[float], data: st.DataObject) -> None:
    array, ordered = np.array(values), sorted(values)
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3))
    collected, digit = data.draw(st.sampled_from([(0, 7), (4, 12), (1000, 20)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_COLLECTED", collected)
        patch.setattr(selection, "_DIGIT", digit)
        found = ranked(_stream(array, 16), array.size, [ranks])[0]
    assert [one.value for one in found] == [ordered[rank] for rank in ranks]
    above = [sum(value > ordered[rank] for value in values) for rank in ranks]
    assert [one.greater for one in found] == above


def test_shares_of_small_tensors() -> None:
    assert [share(10, density) for density in (0.01, 0.2, 0.55, 1.0)] == [1, 2, 6, 10]
    assert share(0, 0.5) == 0
