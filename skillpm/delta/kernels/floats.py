"""Kernels of conversions to float64, of the rounding and of sums.

Their reference is `skillpm.delta.tensors.rounding`, and `countsketch` there.

A 16-bit format is given by `drop`, the bits by which the mantissa of a float64 is longer, and
`bias`, the bias of its exponents: (45, 127) for bfloat16, (42, 15) for float16. Its numbers are
rounded by integer arithmetic on the bits of the float64, half to even; subnormal numbers by `rint`
of the value in units of the smallest one. No result depends on a fused operation.
"""

import numpy as np

from skillpm.delta.kernels.kernel import (
    F64,
    U16,
    U32,
    OutF64,
    OutU8,
    OutU16,
    OutU32,
    helper,
    kernel,
)

_ONE = np.uint64(1)
_SIGN16 = np.uint64(0x8000)
_SIZE16 = np.uint64(0x7FFF)
_TO_TOP = np.uint64(48)
_SIZE64 = np.uint64(0x7FFFFFFFFFFFFFFF)
_SPECIAL64 = np.uint64(0x7FF0000000000000)
_QUIET64 = np.uint64(0x0008000000000000)
_MANTISSA_BITS = np.uint64(52)
_SIGN64 = np.uint64(63)
_FIFTEEN = np.uint64(15)
_FLOAT64_BIAS = 1023


@helper
def _special16(drop: int, bias: int) -> np.uint64:
    """Return the lowest magnitude that is not a finite number: infinity."""
    return np.uint64(2 * bias + 1) << np.uint64(52 - drop)


@kernel
def widen16(words: U16, drop: int, bias: int, values: OutF64) -> None:
    """Write the exact values [n] of 16-bit floats [n]."""
    bits = values.view(np.uint64)
    shift, special = np.uint64(drop), _special16(drop, bias)
    specials = np.int64(0)
    for number in range(words.size):
        word = np.uint64(words[number])
        size = word & _SIZE16
        bits[number] = (word & _SIGN16) << _TO_TOP | size << shift
        specials += int(size >= special)
    scale = 2.0 ** (_FLOAT64_BIAS - bias)  # exact, for subnormal numbers too
    for number in range(words.size):
        values[number] = values[number] * scale
    if specials:
        for number in range(words.size):
            word = np.uint64(words[number])
            size = word & _SIZE16
            if size >= special:
                quiet = _QUIET64 if size > special else np.uint64(0)
                bits[number] = (word & _SIGN16) << _TO_TOP | size << shift | _SPECIAL64 | quiet


@helper
def _round16(values: F64, drop: int, bias: int, words: OutU16) -> int:
    """Write the values [n] rounded to 16 bits; return how many are NaN, infinite or overflow."""
    bits = values.view(np.uint64)
    shift, special = np.uint64(drop), _special16(drop, bias)
    half = (_ONE << np.uint64(drop - 1)) - _ONE
    rebias = np.uint64(_FLOAT64_BIAS - bias) << np.uint64(52 - drop)
    least = np.uint64(_FLOAT64_BIAS - bias + 1) << _MANTISSA_BITS
    bad, small = 0, 0
    for number in range(values.size):
        size = bits[number] & _SIZE64
        code = ((size + half + (size >> shift & _ONE)) >> shift) - rebias
        words[number] = np.uint16(code | bits[number] >> _SIGN64 << _FIFTEEN)
        is_small = size < least
        small += is_small
        bad += (not is_small) & (code >= special)
    if small:
        units = 2.0 ** (bias + 51 - drop)
        for number in range(values.size):
            if bits[number] & _SIZE64 < least:
                code = np.uint64(np.rint(abs(values[number]) * units))
                words[number] = np.uint16(code | bits[number] >> _SIGN64 << _FIFTEEN)
    return bad


@helper
def _does_not_fit(bits: np.uint64, drop: int, bias: int) -> bool:
    """Whether the bits of a float64 round to infinity or NaN in 16 bits."""
    shift = np.uint64(drop)
    half = (_ONE << np.uint64(drop - 1)) - _ONE
    size = bits & _SIZE64
    rounded = (size + half + (size >> shift & _ONE)) >> shift
    rebias = np.uint64(_FLOAT64_BIAS - bias) << np.uint64(52 - drop)
    return bool(rounded >= _special16(drop, bias) + rebias)


@kernel
def round16(values: F64, drop: int, bias: int, words: OutU16, bad: OutU8) -> None:
    """Write the values [n] rounded to 16 bits, and 1 in `bad` [n] for those that do not fit.

    The word of a value that does not fit is 0.
    """
    failures = _round16(values, drop, bias, words)
    bits = values.view(np.uint64)
    for number in range(bad.size):
        bad[number] = 0
    if failures:
        for number in range(values.size):
            if _does_not_fit(bits[number], drop, bias):
                words[number], bad[number] = 0, 1


@kernel
def round_sum16(reference: U16, total: F64, drop: int, bias: int, words: OutU16) -> int:
    """Write sums [n] rounded to 16 bits; the reference's bits where it is not finite.

    Returns how many other sums are NaN, infinite or overflow.
    """
    if not _round16(total, drop, bias, words):
        return 0
    bits = total.view(np.uint64)
    special, failures = _special16(drop, bias), 0
    for number in range(total.size):
        if _does_not_fit(bits[number], drop, bias):
            if np.uint64(reference[number]) & _SIZE16 >= special:
                words[number] = reference[number]
            else:
                failures += 1
    return failures


@kernel
def round32(values: F64, words: OutU32, bad: OutU8) -> None:
    """Write the values [n] rounded to 32 bits, and 1 in `bad` [n] for those that do not fit.

    The word of a value that does not fit is 0.
    """
    floats = words.view(np.float32)
    for number in range(values.size):
        nearest = np.float32(values[number])
        fits = np.isfinite(nearest)
        bad[number] = not fits
        floats[number] = nearest if fits else np.float32(0.0)


@kernel
def round_sum32(reference: U32, total: F64, words: OutU32) -> int:
    """Write sums [n] rounded to 32 bits, as `round_sum16` does."""
    floats = words.view(np.float32)
    bad = 0
    for number in range(total.size):
        floats[number] = np.float32(total[number])
        bad += not np.isfinite(floats[number])
    failures = 0
    if bad:
        before = reference.view(np.float32)
        for number in range(total.size):
            if not np.isfinite(floats[number]):
                if np.isfinite(before[number]):
                    failures += 1
                else:
                    words[number] = reference[number]
    return failures


@kernel
def add_weighted(total: OutF64, delta: F64, weight: float) -> None:
    """Add weight * delta [n] to the total [n], with one rounding each."""
    if weight == 1.0:
        for number in range(total.size):
            total[number] = total[number] + delta[number]
    else:
        for number in range(total.size):
            total[number] = total[number] + delta[number] * weight


@kernel
def sketch_block(delta: F64, signs: F64, rows: OutF64, buckets: int) -> None:
    """Add up delta * signs over rows of `buckets` numbers, by a tree of pairwise additions.

    `signs` [2^k * buckets] is a block, of which delta has the first numbers; the others are zero,
    and so are those that are not finite. `rows` [(k + 2) * buckets] is scratch; its last row gets
    the sum. The tree adds the second half of the rows to the first, and so on.
    """
    count = signs.size // buckets
    levels = rows.size // buckets - 2
    for number in range(count):
        row = 0
        for bit in range(levels):
            row |= (number >> bit & 1) << (levels - 1 - bit)
        start = row * buckets
        held = max(0, min(buckets, delta.size - start))
        for bucket in range(held):
            value = delta[start + bucket]
            rows[bucket] = (value if np.isfinite(value) else 0.0) * signs[start + bucket]
        for bucket in range(held, buckets):
            rows[bucket] = 0.0 * signs[start + bucket]
        level, rest = 1, number
        while rest & 1:
            for bucket in range(buckets):
                rows[bucket] = rows[level * buckets + bucket] + rows[bucket]
            level, rest = level + 1, rest >> 1
        for bucket in range(buckets):
            rows[level * buckets + bucket] = rows[bucket]
