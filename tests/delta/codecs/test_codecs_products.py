import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from skillpm.delta.codecs.shared.products import (
    EXACT,
    GRID_BITS,
    Product,
    fit_tops,
    place,
    product_bound,
    tops_of,
)
from skillpm.errors import IntegrityError

SIDES = st.integers(1, 12)
SEEDS = st.integers(0, 2**32 - 1)


def _factors(
    rank: int, height: int, width: int, seed: int, decay: float
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    falling = np.exp(-decay * np.arange(rank))[:, None]
    return random.normal(size=(rank, height)), random.normal(size=(rank, width)) * falling * 1e-3


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    exponents = fit_tops(tops_of(left), tops_of(right))
    made = Product.of(left.copy(), right.copy(), exponents, "t")
    return made.flat(0, left.shape[1] * right.shape[1]).reshape(left.shape[1], -1)


@given(SIDES, SIDES, SIDES, SEEDS, st.integers(-60, 60), st.integers(-60, 60))
def test_fit_tops_returns_the_finest_exact_exponents(
    rank: int, height: int, width: int, seed: int, up: int, down: int
) -> None:
    left, right = _factors(rank, height, width, seed, 0.1)
    left, right = np.ldexp(left, up), np.ldexp(right, down)
    one, two = fit_tops(tops_of(left), tops_of(right))
    assert product_bound(place(left.copy(), one), place(right.copy(), two)) <= EXACT
    finer = product_bound(place(left.copy(), one - 1), place(right.copy(), two - 1))
    at_the_limit = np.frexp(np.abs(left).max())[1] - one == GRID_BITS
    assert at_the_limit or finer > EXACT


@settings(max_examples=examples(30))
@given(SIDES, SIDES, SIDES, SEEDS)
def test_product_equals_that_of_the_placed_integers(
    rank: int, height: int, width: int, seed: int
) -> None:
    left, right = _factors(rank, height, width, seed, 0.3)
    exponents = fit_tops(tops_of(left), tops_of(right))
    a, b = place(left.copy(), exponents[0]), place(right.copy(), exponents[1])
    exact = [[sum(int(x) * int(y) for x, y in zip(p, q, strict=True)) for q in b.T] for p in a.T]
    assert (_product(left, right) == np.ldexp(np.array(exact, float), sum(exponents))).all()


@settings(max_examples=examples(40))
@given(st.integers(1, 300), SEEDS, st.sampled_from([0.0, 0.01, 0.3]))
def test_product_approximates_the_float64_product(rank: int, seed: int, decay: float) -> None:
    left, right = _factors(rank, 40, 50, seed, decay)
    exact = left.T @ right
    error = np.abs(_product(left, right) - exact).max()
    worst = max(2.0**-22, rank**0.5 * 2.0**-23.5) * rank
    assert error <= worst * np.abs(left).max() * np.abs(right).max()
    assert error <= 2.0**-18 * np.abs(exact).max()


@given(SIDES, SEEDS)
def test_accumulated_errors_stay_within_the_bound(rank: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    left = 1 + 2.0**-30 * random.random((rank, 3))
    right = 1 - 2.0**-30 * random.random((rank, 3))
    error = np.abs(_product(left, right) - left.T @ right).max()
    assert error <= max(2.0**-22, rank**0.5 * 2.0**-23.5) * rank * 1.01


def test_product_has_no_negative_zero() -> None:
    left, right = np.array([[0.0, 1.0, -1.0]]), np.array([[-1.0, 0.0, 1.0]])
    product = _product(left, right)
    assert not np.signbit(product[product == 0]).any()


@given(st.data())
def test_any_span_of_a_product_equals_that_of_the_whole(data: st.DataObject) -> None:
    left, right = _factors(3, data.draw(SIDES), data.draw(SIDES), 5, 0.1)
    exponents = fit_tops(tops_of(left), tops_of(right))
    product = Product.of(left, right, exponents, "t")
    size = left.shape[1] * right.shape[1]
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    assert (product.flat(start, stop) == product.flat(0, size)[start:stop]).all()


@pytest.mark.parametrize(
    ("octave", "exponents"), [(20, (-1000, 0)), (20, (-30, -30)), (600, (590, 590)), (0, (0, 1023))]
)
def test_factors_that_are_too_large_or_too_fine_are_refused(
    octave: int, exponents: tuple[int, int]
) -> None:
    side = np.full((2, 2), 2.0**octave)
    right = np.maximum(side, 2.0 ** exponents[1])
    with pytest.raises(IntegrityError, match="do not multiply exactly"):
        Product.of(side, right, exponents, "t")


def test_factors_with_nan_are_refused() -> None:
    with pytest.raises(IntegrityError, match="do not multiply exactly"):
        Product.of(np.full((1, 2), np.nan), np.ones((1, 2)), (0, 0), "t")


def test_tiny_factors_use_the_finest_grid() -> None:
    tiny = np.full((1, 2), 2.0**-1020)
    assert fit_tops(tops_of(tiny), np.ones(1))[0] == -1000


_PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from coded_worlds import case
one = case("svd-ec", (350, 450), rank=150, seed=11, spread=20.0)
decoded = one.decode()
assert decoded.tobytes() == one.expected.tobytes()
print(hashlib.sha256(decoded.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_product_has_the_same_bits_with_any_number_of_threads() -> None:
    found = set()
    for threads in "124":
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        ran = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(Path(__file__).parents[1])],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(ran.stdout)
    assert len(found) == 1
