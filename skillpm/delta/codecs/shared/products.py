"""Matrix products that are the same on every machine (law 3a).

Both factors are rounded once onto power-of-two grids, whose exponents are stored. They are then
integers with Σₖ max|L·ₖ|·max|R·ₖ| ≤ 2⁵³, so their product is exact in any order of additions.

Bound: with the grids of `fit_tops`, an entry of a product of rank r moves by less than
max(2⁻²², √r·2⁻²³·⁵) · r · max|L| · max|R|. The bound assumes that all errors add up; measured
errors stay within 2⁻¹⁸ of the product's largest entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from skillpm.delta.codecs.shared.boxes import Box, flat_of
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import IntegrityError

EXACT = 1 << 53
GRID_BITS = 24
"""The most bits of a factor on its grid."""
EXPONENT_LIMIT = 1000
_LARGEST = 1023
"""Entries of a product are below 2^1023, which fits float64."""

Rows = Callable[[slice], Floats]
"""Returns rows [count, r] of the left factor, integer-valued."""


def tops_of(side: Floats) -> Floats:
    """Return the largest magnitude in each row."""
    tops: Floats = np.maximum(side.max(axis=1, initial=0.0), -side.min(axis=1, initial=0.0))
    return tops


def bound_of(left: Floats, right: Floats) -> int:
    """Return Σₖ of the products of integer-valued magnitudes, in exact integers."""
    return sum(int(a) * int(b) for a, b in zip(left, right, strict=True))


def product_bound(left: Floats, right: Floats) -> int:
    """Return Σₖ max|left[k]|·max|right[k]| over integer-valued rows."""
    return bound_of(tops_of(left), tops_of(right))


def place(values: Floats, exponent: int) -> Floats:
    """Divide values by 2^exponent and round to integers, in place; infinite if they overflow."""
    with np.errstate(over="ignore"):
        np.ldexp(values, -exponent, out=values)
    return np.rint(values, out=values)


def fit_tops(left: Floats, right: Floats) -> tuple[int, int]:
    """Return the finest exponents, from `GRID_BITS` bits down, at which the product is exact.

    The largest magnitudes [r] of both factors decide it: rounding keeps their order.
    """
    tops = [int(np.frexp(side.max(initial=0.0))[1]) for side in (left, right)]
    for bits in range(GRID_BITS, 0, -1):
        exponents = (max(tops[0] - bits, -EXPONENT_LIMIT), max(tops[1] - bits, -EXPONENT_LIMIT))
        placed = [place(side.copy(), at) for side, at in zip((left, right), exponents, strict=True)]
        if bound_of(*placed) <= EXACT:
            return exponents
    raise AssertionError


@dataclass(frozen=True)
class Product:
    """left · right · 2^exponent, with integer-valued rows of left [m, r], and right [r, n]."""

    left: Rows
    right: Floats
    exponent: int

    @classmethod
    def of(cls, left: Floats, right: Floats, exponents: tuple[int, int], tensor: str) -> Self:
        """Place two factors [r, m] and [r, n] on their grids, in place.

        Raises `IntegrityError` if their product would not be exact.
        """
        placed = place(left, exponents[0])
        return cls.of_rows(
            lambda rows: placed[:, rows].T, tops_of(placed), right, exponents, tensor
        )

    @classmethod
    def of_rows(
        cls, left: Rows, tops: Floats, right: Floats, exponents: tuple[int, int], tensor: str
    ) -> Self:
        """Make a product whose left factor is placed row by row; `tops` [r] are its magnitudes.

        Places the right factor in place. Raises `IntegrityError` if the product would not be exact.
        """
        place(right, exponents[1])
        pair = (tops, tops_of(right))
        exponent = sum(exponents)
        bound = bound_of(*pair) if all(np.isfinite(side).all() for side in pair) else EXACT + 1
        if bound > EXACT or bound.bit_length() + exponent > _LARGEST:
            raise IntegrityError(f"`{tensor}`: its factors do not multiply exactly in float64")
        return cls(left, right, exponent)

    def flat(self, start: int, stop: int) -> Floats:
        """Return the entries start..stop [n] of the flattened product; costs only those entries."""
        return flat_of(start, stop, self.right.shape[1], self._block)

    def _block(self, box: Box) -> Floats:
        product: Floats = np.matmul(self.left(box.rows), self.right[:, box.columns])
        product += 0.0  # libraries differ in the sign of a zero
        return np.ldexp(product, self.exponent, out=product)
