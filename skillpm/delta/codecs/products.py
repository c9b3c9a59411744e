"""Matrix products that are the same on every machine (law 3a).

Both factors are rounded once onto power-of-two grids, whose exponents are stored, and are then
integers with Σₖ max|L·ₖ|·max|R·ₖ| ≤ 2⁵³: their product is exact in whatever order a library adds.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError

EXACT = 1 << 53
GRID_BITS = 24
EXPONENT_LIMIT = 1000


def product_bound(left: Floats, right: Floats) -> int:
    """Σₖ max|left[k]|·max|right[k]| over integer-valued rows, in exact integers."""
    pairs = zip(np.abs(left).max(axis=1), np.abs(right).max(axis=1), strict=True)
    return sum(int(a) * int(b) for a, b in pairs)


def on_grid(values: Floats, exponent: int) -> Floats:
    """Integers: values over 2^exponent, rounded once."""
    with np.errstate(over="ignore"):  # the decoder refuses what is not finite
        return np.rint(np.ldexp(values, -exponent))


def fit_exponents(left: Floats, right: Floats) -> tuple[int, int]:
    """The finest exponents, from `GRID_BITS` down, at which the product stays exact."""
    tops = [int(np.frexp(np.max(np.abs(side), initial=0.0))[1]) for side in (left, right)]
    for bits in range(GRID_BITS, 0, -1):
        exponents = (tops[0] - bits, tops[1] - bits)
        if product_bound(on_grid(left, exponents[0]), on_grid(right, exponents[1])) <= EXACT:
            return exponents
    raise AssertionError


@dataclass(frozen=True)
class Product:
    """leftᵀ · right · 2^exponent, with integer-valued left [r, m] and right [r, n]."""

    left: Floats
    right: Floats
    exponent: int

    @classmethod
    def of(cls, left: Floats, right: Floats, exponents: tuple[int, int], tensor: str) -> Self:
        """Two factors on their grids. Raises `IntegrityError` where they do not fit."""
        placed = on_grid(left, exponents[0]), on_grid(right, exponents[1])
        finite = all(np.isfinite(side).all() for side in placed)
        if not finite or product_bound(*placed) > EXACT:
            raise IntegrityError(f"`{tensor}`: its factors do not multiply exactly")
        return cls(*placed, sum(exponents))

    def flat(self, start: int, stop: int) -> Floats:
        """The entries from `start` to before `stop` of the flat result; only its rows' work."""
        width = self.right.shape[1]
        first, last = start // width, -(-stop // width)
        product = np.matmul(self.left[:, first:last].T, self.right)
        offset = first * width
        flat: Floats = product.reshape(-1)[start - offset : stop - offset]
        with np.errstate(over="ignore"):  # refused where it is added to the reference
            return np.ldexp(flat, self.exponent)
