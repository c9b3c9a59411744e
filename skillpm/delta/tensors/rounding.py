"""Conversion of storage dtypes to float64, exactly, and back by one rounding to even (law 3c)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.kernels import floats as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.words import Words

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FloatFormat:
    """A binary format: significant bits with the hidden one, lowest normal exponent, maximum."""

    precision: int
    least_exponent: int
    largest: float


FORMATS = {
    "F32": FloatFormat(24, -126, float.fromhex("0x1.fffffep127")),
    "F16": FloatFormat(11, -14, 65504.0),
    "BF16": FloatFormat(8, -126, float.fromhex("0x1.fep127")),
    "F8_E4M3": FloatFormat(4, -6, 448.0),
    "F8_E5M2": FloatFormat(3, -14, 57344.0),
}
_NARROW = {"BF16": (45, 127), "F16": (42, 15)}
"""The 16-bit formats, as their kernels take them: bits dropped from a float64's mantissa, bias."""
_KERNELS = frozenset({"BF16", "F16", "F32"})
"""The formats to which kernels round."""
CHEAP = 9
"""numpy takes about a nanosecond more per element here: 2^9 elements count as one of a slow kernel,
so that a small LoRA is applied without loading numba, which takes half a second and 130 MB."""
_HALF = np.uint32(0x8000)
"""Half of the bits that bfloat16 does not have, in a float32."""
_OVERFLOW = float.fromhex("0x1.ffp127")
"""The lowest magnitude that rounds to infinity in bfloat16."""
_SMALL = {"F8_E4M3": (3, 7, 0x7F), "F8_E5M2": (2, 15, 0x7C)}
"""Mantissa bits, exponent bias and first special code of the 8-bit formats."""


def _table(mantissa_bits: int, bias: int, first_special: int) -> Floats:
    """Return the values of all 256 codes of an 8-bit float; NaN or Inf from `first_special` on."""
    values = np.empty(128)
    for code in range(128):
        exponent, mantissa = code >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
        hidden = (1 << mantissa_bits) if exponent else 0
        values[code] = np.ldexp(float(hidden + mantissa), max(exponent, 1) - bias - mantissa_bits)
    values[first_special:] = np.nan
    if mantissa_bits == 2:  # noqa: PLR2004 - E5M2 has infinities, E4M3 has none
        values[first_special] = np.inf
    return np.concatenate([values, -values])


_TABLES = {name: _table(*parts) for name, parts in _SMALL.items()}


def to_float64(words: Words, dtype: str) -> Floats:
    """Return the exact values [n] of the bit patterns [n] of a floating point dtype."""
    if dtype in _NARROW and _is_flat(words) and compiled(words.size >> CHEAP):
        values = np.empty(words.shape)
        kernels.widen16(words, *_NARROW[dtype], values)
        return values
    with np.errstate(invalid="ignore"):  # a signalling NaN turns quiet
        if dtype == "F64":
            return words.view(np.float64)
        if dtype == "F32":
            return words.view(np.float32).astype(np.float64)
        if dtype == "F16":
            return words.view(np.float16).astype(np.float64)
        if dtype == "BF16":
            return _to_float32(words).astype(np.float64)
        return _TABLES[dtype][words]


def exact_values(words: Words, dtype: str) -> npt.NDArray[np.floating]:
    """Return what `to_float64` does, or the same numbers as float32 where that costs less.

    Operations on them need `dtype=np.float64`.
    """
    if dtype == "BF16" and not (_is_flat(words) and compiled(words.size >> CHEAP)):
        return _to_float32(words)
    if dtype == "F32":
        return words.view(np.float32)
    return to_float64(words, dtype)


def _to_float32(words: Words) -> npt.NDArray[np.float32]:
    """Return the exact values [n] of bfloat16 words [n]."""
    wide = words.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def rounded(values: Floats, dtype: str) -> Floats:
    """Round float64 [n] to the nearest number of `dtype`, ties to even; the result stays float64.

    Normal numbers are rounded by integer arithmetic on their bit patterns; subnormal numbers are
    scaled by a power of two, rounded by `rint`, and scaled back. Either way a value is rounded
    once. The exponent range is not limited from above. NaN and Inf pass through.
    """
    if dtype == "F64":
        return values
    form = FORMATS[dtype]
    drop = 53 - form.precision
    bits = values.view(np.uint64)
    up = bits >> np.uint64(drop)
    up &= np.uint64(1)
    up += np.uint64((1 << (drop - 1)) - 1)
    up += bits
    up &= np.uint64(2**64 - (1 << drop))
    nearest: Floats = up.view(np.float64)
    sizes = np.abs(values)
    least = np.ldexp(1.0, form.least_exponent)
    if not np.min(sizes, initial=np.inf) >= least:  # also NaN, whose bits a carry could corrupt
        rest = ~(sizes >= least)
        quantum = form.least_exponent - (form.precision - 1)
        with np.errstate(invalid="ignore"):
            nearest[rest] = np.ldexp(np.rint(np.ldexp(values[rest], -quantum)), quantum)
    return nearest


def from_float64(values: Floats, dtype: str) -> tuple[Words, npt.NDArray[np.bool_]]:
    """Round float64 [n] to `dtype`.

    Returns the words [n], and a mask [n] of the values that do not fit: overflow, NaN or Inf.
    """
    if dtype == "F64":
        return values.view("<u8"), ~np.isfinite(values)
    if dtype in _KERNELS and _is_flat(values) and compiled(values.size >> CHEAP):
        return _from_float64_compiled(values, dtype)
    if dtype == "BF16" and (words := _to_bfloat16(values)) is not None:
        return words, np.zeros(values.shape, dtype=np.bool_)
    form = FORMATS[dtype]
    nearest = rounded(values, dtype)
    sizes = np.abs(nearest)
    if np.max(sizes, initial=0.0) <= form.largest:
        safe, bad = nearest, np.zeros(values.shape, dtype=np.bool_)
    else:
        bad = ~(sizes <= form.largest)
        safe = np.where(bad, 0.0, nearest)
    return _codes_of(safe, dtype), bad


def _codes_of(values: Floats, dtype: str) -> Words:
    """Return the bit patterns [n] of numbers [n] of `dtype`, in float64."""
    if dtype == "F32":
        return values.astype(np.float32).view("<u4")
    if dtype == "F16":
        return values.astype(np.float16).view("<u2")
    if dtype == "BF16":
        return (values.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype("<u2")
    magnitudes = _TABLES[dtype][: _SMALL[dtype][2]]
    codes = np.searchsorted(magnitudes, np.abs(values)).astype(np.uint8)
    return codes | (np.signbit(values).astype(np.uint8) << np.uint8(7))


def round_sum(reference: Words, total: Floats, dtype: str) -> tuple[Words, int]:
    """Round `total` [n], float64 sums that include the reference [n], once to `dtype` (law 3c).

    Where the reference is NaN or infinite, its bits are kept. Returns the words [n], and the number
    of other sums that overflow or are NaN.
    """
    if (
        dtype in _KERNELS
        and _is_flat(total)
        and _is_flat(reference)
        and compiled(total.size >> CHEAP)
    ):
        words = np.empty_like(reference)
        if dtype == "F32":
            return words, kernels.round_sum32(reference, total, words)
        return words, kernels.round_sum16(reference, total, *_NARROW[dtype], words)
    words, bad = from_float64(total, dtype)
    if not bad.any():
        return words, 0
    special = ~is_finite(reference, dtype)
    return np.where(special, reference, words), int(np.count_nonzero(bad & ~special))


def _is_flat(array: npt.NDArray[Any]) -> bool:
    """Whether kernels accept an array: one dimension, contiguous and aligned."""
    return array.ndim == 1 and array.flags.c_contiguous and array.flags.aligned


def _from_float64_compiled(values: Floats, dtype: str) -> tuple[Words, npt.NDArray[np.bool_]]:
    words = np.empty(values.size, dtype="<u4" if dtype == "F32" else "<u2")
    bad = np.empty(values.size, dtype=np.uint8)
    if dtype == "F32":
        kernels.round32(values, words, bad)
    else:
        kernels.round16(values, *_NARROW[dtype], words, bad)
    return words, bad.view(np.bool_)


def _to_bfloat16(values: Floats) -> Words | None:
    """Round values [n] to bfloat16 by way of float32; None if one overflows or is NaN.

    Two roundings equal one, except if the first lands halfway between two bfloat16 numbers. Those
    values, about one in 65,536, are rounded from float64, so the second rounding adds half and
    truncates. This halves the memory traffic.
    """
    # A value that is infinite in float32 is infinite in bfloat16.
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32)
    if not max(single.max(initial=0.0), -single.min(initial=0.0)) < _OVERFLOW:
        return None
    bits = single.view(np.uint32)
    bits += _HALF
    middle = bits.astype(np.uint16) == 0
    bits >>= np.uint32(16)
    words: Words = bits.astype("<u2")
    if middle.any():
        at = np.flatnonzero(middle)
        nearest = rounded(values.reshape(-1)[at], "BF16").astype(np.float32).view(np.uint32)
        words.reshape(-1)[at] = nearest >> np.uint32(16)
    return words


def is_finite(words: Words, dtype: str) -> npt.NDArray[np.bool_]:
    """Return which bit patterns [n] of a floating point dtype are finite numbers, as a mask [n]."""
    return np.isfinite(to_float64(words, dtype))
