"""What a merging method is given: task vectors; and the selections and sums that it may make.

Law 3: a selection is exact, with ties broken by position; a sum over a tensor is one of integers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.rounding import Floats

Mask = npt.NDArray[np.bool_]
_BITS = 62
"""Of a 64-bit sum of magnitudes."""


@dataclass(frozen=True)
class Vector:
    """A task vector of one tensor, flat [n], with the name and the weight of its skill."""

    skill: str
    weight: float
    delta: Floats

    @property
    def weighted(self) -> Floats:
        """w·Δ [n]."""
        return self.delta if self.weight == 1.0 else self.delta * self.weight


Vectors = Sequence[Vector]


def share(size: int, density: float) -> int:
    """How many of `size` elements a density in (0, 1] means: at least one, where there are any."""
    return min(size, max(1, round(size * density)))


def largest(values: Floats, count: int) -> Mask:
    """The `count` largest of [n]; of equal ones those that stand first."""
    if count >= values.size:
        return np.ones(values.shape, dtype=np.bool_)
    cut = ranked(values, values.size - count)
    mask = values > cut
    level = np.flatnonzero(values == cut)
    mask[level[: count - int(np.count_nonzero(mask))]] = True
    return mask


def ranked(values: Floats, rank: int) -> float:
    """The element of [n] that stands at `rank`, from 0, when they are sorted."""
    return float(np.partition(values, rank)[rank])


def normalised(values: Floats) -> Floats:
    """(x − min) / (max − min), so in [0, 1]; all ones where all are equal."""
    low, high = float(values.min()), float(values.max())
    return np.ones_like(values) if low == high else (values - low) / (high - low)


def exact_sum(values: Floats) -> float:
    """The sum of magnitudes [n], the same in any order; off by less than n³·2⁻¹²² of the largest.

    Each is cut into two whole numbers of steps of powers of two, and whole numbers are added.
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
