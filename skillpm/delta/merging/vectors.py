"""Task vectors, the input of a merging method, as streams of blocks; and sums over them.

Law 3: a sum over a tensor adds integers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import Floats

Mask = npt.NDArray[np.bool_]
Blocks = list[Floats]
"""The same block of several streams, each [n]."""
Stream = Callable[[], Iterator[Blocks]]
"""Starts a pass over several streams in step. All passes yield the same blocks."""
_BITS = 62
"""Bits available for a sum of magnitudes in an int64."""


@dataclass(frozen=True)
class Vector:
    """A task vector of one tensor with `size` elements, and the name and weight of its skill.

    Each call of `blocks` reads its finite elements in blocks of `CHUNK`; the last has fewer.
    """

    skill: str
    weight: float
    size: int
    blocks: Callable[[], Iterator[Floats]]

    @classmethod
    def of(cls, skill: str, weight: float, delta: Floats) -> Self:
        """A task vector in memory, flat [n]."""
        starts = range(0, delta.size, CHUNK)
        return cls(skill, weight, delta.size, lambda: (delta[at : at + CHUNK] for at in starts))

    def held(self) -> Self:
        """The same vector with its elements in memory."""
        delta, end = np.empty(self.size), 0
        for block in self.blocks():
            delta[end : end + block.size] = block
            end += block.size
        return type(self).of(self.skill, self.weight, delta)

    def weighted(self, delta: Floats) -> Floats:
        """The weighted block w·Δ [n]."""
        return delta if self.weight == 1.0 else delta * self.weight


Vectors = Sequence[Vector]


def in_step(vectors: Vectors) -> Iterator[Blocks]:
    """Read all vectors in step."""
    for blocks in zip(*(vector.blocks() for vector in vectors), strict=True):
        yield list(blocks)


def share(size: int, density: float) -> int:
    """Return the number of elements for a density in (0, 1]: at least one, except of none."""
    return min(size, max(1, round(size * density)))


class ExactSum:
    """The sum of magnitudes up to `top`, `size` of them, the same in any order of additions.

    The error is below size³·2⁻¹²² of the largest value. Each value is split into two integers, in
    units of two powers of two, and the integers are added.
    """

    def __init__(self, top: float, size: int) -> None:
        self._bits = _BITS - size.bit_length()
        self._grid = math.frexp(top)[1] - self._bits
        self._upper = self._lower = 0

    def add(self, values: Floats) -> None:
        """Add values [n]."""
        bits, grid = self._bits, self._grid
        high = np.rint(np.ldexp(values, -grid))
        rest = np.rint(np.ldexp(values - np.ldexp(high, grid), bits - grid))
        self._upper += int(high.astype(np.int64).sum())
        self._lower += int(rest.astype(np.int64).sum())

    @property
    def total(self) -> float:
        """The sum of all values so far."""
        units = float((self._upper << self._bits) + self._lower)
        return math.ldexp(units, self._grid - self._bits)
