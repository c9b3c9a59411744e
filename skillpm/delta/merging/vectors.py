"""Task vectors, the input of a merging method, and the selections and sums that methods may use.

Law 3: a selection is exact, with ties broken by position; a sum over a tensor adds integers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.rounding import Floats

Mask = npt.NDArray[np.bool_]
_BITS = 62
"""Bits available for a sum of magnitudes in an int64."""


@dataclass(frozen=True)
class Vector:
    """A task vector of one tensor, flat [n], with the name and the weight of its skill."""

    skill: str
    weight: float
    delta: Floats

    @property
    def weighted(self) -> Floats:
        """The weighted delta w·Δ [n]."""
        return self.delta if self.weight == 1.0 else self.delta * self.weight


Vectors = Sequence[Vector]


def share(size: int, density: float) -> int:
    """Return the number of elements for a density in (0, 1]: at least one, except of none."""
    return min(size, max(1, round(size * density)))


def largest(values: Floats, count: int) -> Mask:
    """Return the mask of the `count` largest of [n]; among equal values, the first are taken."""
    if count >= values.size:
        return np.ones(values.shape, dtype=np.bool_)
    threshold = ranked(values, values.size - count)
    mask = values > threshold
    ties = np.flatnonzero(values == threshold)
    mask[ties[: count - int(np.count_nonzero(mask))]] = True
    return mask


def ranked(values: Floats, rank: int) -> float:
    """Return the element of [n] at position `rank`, counted from 0, in sorted order."""
    return float(np.partition(values, rank)[rank])


def normalised(values: Floats) -> Floats:
    """Return (x − min) / (max − min), in [0, 1]; all ones if all values are equal."""
    low, high = float(values.min()), float(values.max())
    return np.ones_like(values) if low == high else (values - low) / (high - low)


def exact_sum(values: Floats) -> float:
    """Return the sum of magnitudes [n], the same in any order of additions.

    The error is below n³·2⁻¹²² of the largest value. Each value is split into two integers, in
    units of two powers of two, and the integers are added.
    """
    top = float(values.max(initial=0.0))
    if top == 0.0:
        return 0.0
    bits = _BITS - values.size.bit_length()
    grid = math.frexp(top)[1] - bits
    high = np.rint(np.ldexp(values, -grid))
    rest = np.ldexp(values - np.ldexp(high, grid), bits - grid)
    parts = (int(part.astype(np.int64).sum()) for part in (high, np.rint(rest)))
    upper, lower = parts
    return math.ldexp(float((upper << bits) + lower), grid - bits)
