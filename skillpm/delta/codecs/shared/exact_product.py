"""L · R of two floating point factors, to about 2^-60 and the same on every machine (law 3a).

Each factor is split into slices (Ozaki, Ogita, Oishi & Rump 2012). Every row of L and every column
of R has its own power of two, and slice n holds the next `width` bits of each value below it. All
products LᵢRⱼ of one level n = i + j are multiples of one grid and sum to less than 2⁵³ of its
steps, so they are exact in any order of additions. Levels are then added from the last to the
first, with one float64 rounding each.

A bfloat16 factor rarely has bits in its second slice. Rows and columns without such bits are left
out of the product, which changes no bit of the result.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.rounding import Floats, to_float64
from skillpm.delta.tensors.words import Words
from skillpm.errors import IntegrityError

EXACT = 1 << 53
"""float64 represents all integers up to 2^53."""
_BLOCK = 1 << 14
_LARGEST_SCALE = 64
"""The most bits of a scale that is multiplied into the left factor."""
_PIECE = 1 << 17
"""Entries of a piece, so that all passes over it stay in a core's cache."""


def width_for(rank: int) -> int:
    """Return the widest slices for which every level of a product of this rank is exact."""
    return (52 - (rank - 1).bit_length()) // 2


@dataclass(frozen=True)
class Factor:
    """A matrix in a storage dtype, as bit patterns [rows, columns]."""

    words: Words
    dtype: str

    @property
    def flipped(self) -> "Factor":
        """The transpose, without a copy."""
        return Factor(self.words.T, self.dtype)

    def equals(self, other: "Factor") -> bool:
        """Whether both matrices have the same dtype and bits."""
        return self.dtype == other.dtype and np.array_equal(self.words, other.words)

    def rows(self, first: int, last: int) -> Floats:
        """Return the exact values of rows first..last, float64."""
        return to_float64(self.words[first:last], self.dtype)

    def blocks(self) -> Iterator[Floats]:
        """Yield all rows, `_BLOCK` at a time, float64."""
        for start in range(0, self.words.shape[0], _BLOCK):
            yield self.rows(start, start + _BLOCK)


@dataclass(frozen=True)
class _Slice:
    """The columns of R in which a slice has bits, and their indices; None for all columns."""

    values: Floats
    columns: npt.NDArray[np.intp] | None


class ExactProduct:
    """L [m, r] · R [r, n], computed by rows; holds R's slices, and L in its storage dtype.

    Raises `IntegrityError` if a factor is not finite, or if slices of this width would not multiply
    exactly.
    """

    def __init__(self, left: Factor, right: Factor, what: str, *, width: int, depth: int) -> None:
        self._left, self._what, self._width, self._depth = left, what, width, depth
        self._columns, self._right_dtype = right.words.shape[1], right.dtype
        tops = [_tops(left, what), _tops(right.flipped, what)]
        levels = [np.frexp(top)[1] for top in tops]
        balance = np.where((tops[0] > 0) & (tops[1] > 0), (levels[1] - levels[0]) // 2, 0)
        self._balance = np.ldexp(1.0, balance)
        values = right.flipped.rows(0, self._columns) / self._balance
        parts, bounds = _slices(values, width, depth + 1)
        self._right_bounds = bounds
        self._right = [_slice(part.T, first=not number) for number, part in enumerate(parts)]
        self._stacked = [self._stack(level) for level in range(depth + 1)]

    def rows(self, first: int, last: int, scale: float = 1.0) -> Floats:
        """Return rows first..last of scale · L · R, [last - first, n]; no zero is negative."""
        total = np.empty((last - first, self._columns))
        for start, piece in self.pieces(first, last, scale):
            total[start : start + piece.shape[0]] = piece
        return total

    def pieces(
        self, first: int, last: int, scale: float = 1.0, *, signed_zeros: bool = False
    ) -> Iterator[tuple[int, Floats]]:
        """Yield `rows` in pieces: the index of the first row, and the rows.

        The next piece overwrites the rows. A piece stays in a core's cache during all passes over
        it. With `signed_zeros`, the sign of a zero depends on the machine, which saves a pass.
        """
        values = self._left.rows(first, last) * self._balance
        parts, bounds = _slices(values, self._width, self._depth + 1)
        self._check(bounds)
        if self._is_exact(scale):
            parts, scale = [part * scale for part in parts], 1.0
        lefts = [self._side_by_side(parts, level) for level in range(self._depth + 1)]
        step = min(last - first, max(1, _PIECE // max(1, self._columns)))
        room, scratch = (np.empty((step, self._columns)) for _ in range(2))
        for start in range(0, last - first, step):
            sliced = [part[start : start + step] for part in parts]
            count = sliced[0].shape[0]
            piece = np.matmul(sliced[0], self._right[0].values, out=room[:count])
            lower_levels = self._lower_levels(
                sliced,
                [None if left is None else left[start : start + step] for left in lefts],
                scratch,
            )
            if lower_levels is not None:
                piece += lower_levels
            if scale != 1.0:
                with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` raises for both
                    piece *= scale
            if not signed_zeros:
                piece += 0.0
            yield start, piece

    def _is_exact(self, scale: float) -> bool:
        """Whether the left factor can be scaled instead of the product, which is larger.

        The product has the same bits then: the scale is a power of two, and no number leaves the
        range of float64, because factors have at most the range of float32.
        """
        mantissa, exponent = math.frexp(abs(scale))
        narrow = "F64" not in (self._left.dtype, self._right_dtype)
        return mantissa == 0.5 and abs(exponent) <= _LARGEST_SCALE and narrow  # noqa: PLR2004 - frexp's mantissa of a power of two

    def _lower_levels(
        self, parts: list[Floats], lefts: list[Floats | None], scratch: Floats
    ) -> Floats | None:
        """Add all levels below the first, from the last; None if no slice has bits there."""
        total: Floats | None = None
        for level in range(self._depth, 0, -1):
            left, stacked = lefts[level], self._stacked[level]
            if left is not None and stacked is not None:
                out = scratch[: left.shape[0]] if total is None else None
                product: Floats | None = np.matmul(left, stacked, out=out)
            else:
                product = self._sparse(parts, level)
            if total is None:
                total = product
            elif product is not None:
                total += product
        return total

    def _side_by_side(self, parts: list[Floats], level: int) -> Floats | None:
        """Return L's slices of a level, side by side.

        None unless R's slices are stacked and most rows of L have bits.
        """
        if self._stacked[level] is None:
            return None
        rows = parts[0].shape[0]
        dense = (2 * np.count_nonzero(part.any(axis=1)) >= rows for part in parts[: level + 1])
        return np.hstack(parts[: level + 1]) if all(dense) else None

    def _stack(self, level: int) -> Floats | None:
        """Return R's slices of a level, stacked, if all of them have bits in most columns."""
        slices = [self._right[level - number] for number in range(level + 1)]
        if not level or any(part.columns is not None for part in slices):
            return None
        return np.vstack([part.values for part in slices])

    def _check(self, bounds: list[list[int]]) -> None:
        """Check Σ max|Lᵢ|·max|Rⱼ| of each level, in steps of its grid, in exact integers."""
        for level in range(self._depth + 1):
            pairs = ((bounds[i], self._right_bounds[level - i]) for i in range(level + 1))
            steps = sum(a * b for left, right in pairs for a, b in zip(left, right, strict=True))
            if steps > EXACT:
                raise IntegrityError(
                    f"`{self._what}`: its factors do not multiply exactly in float64"
                )

    def _sparse(self, parts: list[Floats], level: int) -> Floats | None:
        """Return Σ LᵢRⱼ over i + j = level; None if no slice has bits there."""
        shape = (parts[0].shape[0], self._columns)
        total: Floats | None = None
        for number in range(level + 1):
            left, right = parts[number], self._right[level - number]
            if not right.values.size:
                continue
            rows = np.flatnonzero(left.any(axis=1)) if number else np.arange(shape[0])
            if not rows.size:
                continue
            total = np.zeros(shape) if total is None else total
            _add(total, left, rows, right)
        return total


def _add(total: Floats, left: Floats, rows: npt.NDArray[np.intp], right: _Slice) -> None:
    """Add left @ right to the total in place, only in rows and columns that have bits."""
    sparse = 2 * rows.size < left.shape[0]
    product = (left[rows] if sparse else left) @ right.values
    if right.columns is None and sparse:
        total[rows] += product
    elif right.columns is None:
        total += product
    elif sparse:
        total[np.ix_(rows, right.columns)] += product
    else:
        total[:, right.columns] += product


def _tops(factor: Factor, what: str) -> Floats:
    """Return the largest magnitude in each column."""
    tops = np.zeros(factor.words.shape[1])
    for block in factor.blocks():
        if not np.isfinite(block).all():
            raise IntegrityError(f"`{what}`: a factor has NaN or Inf")
        tops = np.maximum(tops, np.abs(block).max(axis=0, initial=0.0))
    return tops


def _slices(values: Floats, width: int, count: int) -> tuple[list[Floats], list[list[int]]]:
    """Return slices of each row [a, r], and for each slice the most steps in each of r columns.

    Every operation is exact: divisions are by powers of two, and the remainder of a rounding has
    fewer bits than the value that was rounded.
    """
    exponents = np.frexp(np.abs(values).max(axis=1, initial=0.0))[1]
    parts: list[Floats] = []
    bounds: list[list[int]] = []
    rest = values
    for number in range(count):
        grid = np.ldexp(1.0, exponents - (number + 1) * width)[:, None]
        steps = np.rint(rest / grid)
        bounds.append([int(top) for top in np.abs(steps).max(axis=0, initial=0.0)])
        parts.append(steps * grid)
        rest = rest - parts[-1]
    return parts, bounds


def _slice(values: Floats, *, first: bool) -> _Slice:
    columns = np.flatnonzero(values.any(axis=0))
    if first or 2 * columns.size >= values.shape[1]:
        return _Slice(np.ascontiguousarray(values), None)
    return _Slice(np.ascontiguousarray(values[:, columns]), columns)
