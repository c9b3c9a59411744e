from fractions import Fraction

import numpy as np
import pytest
import torch
from delta_worlds import FLOATS
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.tensors.rounding import FORMATS, from_float64, is_finite, rounded, to_float64
from skillpm.delta.tensors.words import word_dtype
from skillpm.spec.dtypes import BITS

TORCH = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
SMALL = [name for name in FORMATS if name != "F32"]
floats = st.floats(allow_nan=False, allow_infinity=False)
near = st.builds(
    lambda m, e: float(np.ldexp(m, e)), st.integers(-(2**53), 2**53), st.integers(-220, 80)
)


def _all_words(dtype: str) -> np.ndarray:
    return np.arange(1 << BITS[dtype], dtype=word_dtype(BITS[dtype] // 8))


def _nearest(value: float, dtype: str) -> Fraction:
    """Return the nearest number of an unbounded format, ties to even, in exact fractions."""
    form, exact = FORMATS[dtype], Fraction(value)
    exponent = form.least_exponent
    while abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    quantum = Fraction(2) ** (exponent - form.precision + 1)
    return round(exact / quantum) * quantum


@pytest.mark.parametrize("dtype", SMALL)
def test_to_float64_of_every_bit_pattern_equals_torch(dtype: str) -> None:
    words = _all_words(dtype)
    theirs = torch.from_numpy(words.copy()).view(TORCH[dtype]).double().numpy()
    np.testing.assert_array_equal(to_float64(words, dtype), theirs)
    assert (is_finite(words, dtype) == np.isfinite(theirs)).all()


@pytest.mark.parametrize("dtype", SMALL)
def test_finite_numbers_round_trip_to_their_own_bits(dtype: str) -> None:
    words = _all_words(dtype)
    words = words[is_finite(words, dtype)]
    back, bad = from_float64(to_float64(words, dtype), dtype)
    assert (back == words).all()
    assert not bad.any()


@pytest.mark.parametrize("dtype", SMALL)
def test_midpoints_round_to_even(dtype: str) -> None:
    words = _all_words(dtype)[: 1 << (BITS[dtype] - 1)]
    words = words[is_finite(words, dtype)]
    values = to_float64(words, dtype)
    middles = (values[:-1] + values[1:]) / 2
    even = np.where(words[:-1] % 2 == 0, words[:-1], words[1:])
    for sign in (1.0, -1.0):
        found, bad = from_float64(sign * middles, dtype)
        assert not bad.any()
        top = np.asarray(1 << (BITS[dtype] - 1), dtype=words.dtype)
        assert (found == (even if sign > 0 else even | top)).all()


@pytest.mark.parametrize("dtype", SMALL)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_rounding_from_float32_equals_torch(dtype: str, values: list[float]) -> None:
    wide = np.array(values, dtype=np.float64)
    words, bad = from_float64(wide, dtype)
    theirs = torch.from_numpy(wide.astype(np.float32)).to(TORCH[dtype])
    bits = theirs.view(torch.uint8 if BITS[dtype] == 8 else torch.int16).numpy().view(words.dtype)
    assert (words[~bad] == bits[~bad]).all()
    overflow = np.array([abs(_nearest(v, dtype)) > FORMATS[dtype].largest for v in values])
    assert (bad == overflow).all()


@pytest.mark.parametrize("dtype", list(FORMATS))
@given(value=st.one_of(floats, near))
def test_rounding_agrees_with_exact_fractions(dtype: str, value: float) -> None:
    exact = _nearest(value, dtype)
    words, bad = from_float64(np.array([value]), dtype)
    assert bool(bad[0]) == (abs(exact) > FORMATS[dtype].largest)
    if not bad[0]:
        assert Fraction(float(to_float64(words, dtype)[0])) == exact


def test_bfloat16_is_rounded_once_although_torch_rounds_twice() -> None:
    value = np.array([1.0 + 2.0**-8 + 2.0**-40])
    assert to_float64(from_float64(value, "BF16")[0], "BF16")[0] == 1.0 + 2.0**-7
    assert torch.from_numpy(value).to(torch.bfloat16).double().item() == 1.0


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "bits", [0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x7FF8000000000000, 0x7FF0000000000001]
)
def test_nan_of_any_payload_stays_nan(dtype: str, bits: int) -> None:
    nan = np.array([bits], dtype=np.uint64).view(np.float64)
    assert np.isnan(rounded(nan, dtype)).all()
    assert from_float64(nan, dtype)[1].all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinities_and_overflow_are_flagged(dtype: str) -> None:
    values = np.array([np.inf, -np.inf, 0.0, 1.0])
    assert from_float64(values, dtype)[1].tolist() == [True, True, False, False]
    if dtype != "F64":
        largest = FORMATS[dtype].largest
        half = 2.0 ** (np.frexp(largest)[1] - FORMATS[dtype].precision - 1)
        beyond = np.array([largest, np.nextafter(largest + half, 0), largest + half, -2 * largest])
        tie = dtype != "F8_E4M3"  # 448 is even, so the tie with 480 rounds down
        assert from_float64(beyond, dtype)[1].tolist() == [False, False, tie, True]


@pytest.mark.parametrize("dtype", FLOATS)
def test_sign_of_zero_is_kept(dtype: str) -> None:
    words, _ = from_float64(np.array([0.0, -0.0]), dtype)
    assert words.tolist() == [0, 1 << (BITS[dtype] - 1)]
