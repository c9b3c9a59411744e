"""Kernels of `skillpm.delta.tensors.words`, their reference: differences of ordered integers."""

import numpy as np

from skillpm.delta.kernels.kernel import OutWords, Words, helper, kernel

_ONE = np.uint64(1)


@helper
def top_of(itemsize: int) -> np.uint64:
    """Return the top bit of words of `itemsize` bytes."""
    return _ONE << np.uint64(8 * itemsize - 1)


@helper
def ordered(word: np.uint64, top: np.uint64, signed: np.uint64) -> np.uint64:
    """Map a pattern to an integer in the order of the numbers, as `words.ordered`.

    `signed` is `top` for floating point dtypes, else 0, which keeps the pattern.
    """
    full = top | (top - _ONE)
    return word ^ (full if word & signed else signed)


@kernel
def difference(reference: Words, tuned: Words, is_float: bool, out: OutWords) -> int:  # noqa: FBT001 - kernels take plain arguments
    """Write the zigzag differences [n] to `out` [n]; return how many are not zero."""
    top = top_of(reference.itemsize)
    full = top | (top - _ONE)
    signed = top if is_float else np.uint64(0)
    changed = 0
    for number in range(reference.size):
        after = ordered(np.uint64(tuned[number]), top, signed)
        step = after - ordered(np.uint64(reference[number]), top, signed)
        folded = (step << _ONE) ^ (full if step & top else np.uint64(0))
        out[number] = folded & full
        changed += (folded & full) != 0
    return changed


@kernel
def apply_difference(reference: Words, folded: Words, is_float: bool, out: OutWords) -> None:  # noqa: FBT001 - kernels take plain arguments
    """Write to `out` [n] the words that differ from the reference [n] by zigzag differences [n]."""
    top = top_of(reference.itemsize)
    full = top | (top - _ONE)
    signed = top if is_float else np.uint64(0)
    for number in range(reference.size):
        fold = np.uint64(folded[number])
        step = (fold >> _ONE) ^ (full if fold & _ONE else np.uint64(0))
        value = (ordered(np.uint64(reference[number]), top, signed) + step) & full
        # An ordered pattern of a number below zero has its top bit clear.
        back = signed if value & signed else (full if signed else np.uint64(0))
        out[number] = value ^ back
