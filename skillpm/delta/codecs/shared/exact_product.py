"""L · R of two floating point factors, to about 2^-60 and the same on every machine (law 3a).

Each factor is cut into slices (Ozaki, Ogita, Oishi & Rump 2012): every row of L and every column
of R has a power of two of its own, and slice n holds the next `width` bits of each value below it.
All products LᵢRⱼ of one level n = i + j lie on one grid and sum to less than 2⁵³ of its steps, so
they are exact in whatever order a library adds. Levels are then added from the last to the first,
one float64 rounding each.

A factor in bfloat16 seldom has bits in its second slice: rows and columns that have none are left
out of the product, which changes no bit of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.rounding import Floats, to_float64
from skillpm.delta.tensors.words import Words
from skillpm.errors import IntegrityError

EXACT = 1 << 53
_BLOCK = 1 << 14
_PIECE = 1 << 17


def width_for(rank: int) -> int:
    """The widest slices at which every level of a product of this rank is exact."""
    return (52 - (rank - 1).bit_length()) // 2


@dataclass(frozen=True)
class Factor:
    """A matrix in a storage dtype: its bit patterns, in two dimensions."""

    words: Words
    dtype: str

    @property
    def flipped(self) -> "Factor":
        """The transpose, without a copy."""
        return Factor(self.words.T, self.dtype)

    def rows(self, first: int, last: int) -> Floats:
        """The values of rows first..last, float64, exact."""
        return to_float64(self.words[first:last], self.dtype)

    def blocks(self) -> Iterator[Floats]:
        """All rows, `_BLOCK` at a time, float64."""
        for start in range(0, self.words.shape[0], _BLOCK):
            yield self.rows(start, start + _BLOCK)


@dataclass(frozen=True)
class _Slice:
    """The columns of R in which a slice has bits, and those columns; all columns for None."""

    values: Floats
    columns: npt.NDArray[np.intp] | None


class ExactProduct:
    """L [m, r] · R [r, n], computed by rows; holds R's slices, and L in its storage dtype.

    Raises `IntegrityError` where a factor is not finite, or where slices of this width would not
    multiply exactly.
    """

    def __init__(self, left: Factor, right: Factor, what: str, *, width: int, depth: int) -> None:
        self._left, self._what, self._width, self._depth = left, what, width, depth
        self._columns = right.words.shape[1]
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
        """Rows first..last of scale · L · R [last - first, n]; no zero is negative."""
        total = np.empty((last - first, self._columns))
        for start, piece in self.pieces(first, last, scale):
            total[start : start + piece.shape[0]] = piece
        return total

    def pieces(self, first: int, last: int, scale: float = 1.0) -> Iterator[tuple[int, Floats]]:
        """As `rows`, in pieces: the first row of each, and its rows, which the next overwrites.

        All passes over a piece find it in a core's cache.
        """
        values = self._left.rows(first, last) * self._balance
        parts, bounds = _slices(values, self._width, self._depth + 1)
        self._check(bounds)
        lefts = [self._beside(parts, level) for level in range(self._depth + 1)]
        step = min(last - first, max(1, _PIECE // max(1, self._columns)))
        room, scratch = (np.empty((step, self._columns)) for _ in range(2))
        for start in range(0, last - first, step):
            some = [part[start : start + step] for part in parts]
            count = some[0].shape[0]
            piece = np.matmul(some[0], self._right[0].values, out=room[:count])
            rest = self._rest(
                some,
                [None if each is None else each[start : start + step] for each in lefts],
                scratch,
            )
            if rest is not None:
                piece += rest
            with np.errstate(over="ignore", invalid="ignore"):  # the sum refuses it
                piece *= scale
            piece += 0.0
            yield start, piece

    def _rest(
        self, parts: list[Floats], lefts: list[Floats | None], scratch: Floats
    ) -> Floats | None:
        """All levels below the first, added from the last; None where no slice has bits there."""
        total: Floats | None = None
        for level in range(self._depth, 0, -1):
            left, stacked = lefts[level], self._stacked[level]
            if left is not None and stacked is not None:
                out = scratch[: left.shape[0]] if total is None else None
                found: Floats | None = np.matmul(left, stacked, out=out)
            else:
                found = self._sparse(parts, level)
            if total is None:
                total = found
            elif found is not None:
                total += found
        return total

    def _beside(self, parts: list[Floats], level: int) -> Floats | None:
        """L's slices of a level, side by side, where R's are stacked and most rows have bits."""
        if self._stacked[level] is None:
            return None
        rows = parts[0].shape[0]
        dense = (2 * np.count_nonzero(part.any(axis=1)) >= rows for part in parts[: level + 1])
        return np.hstack(parts[: level + 1]) if all(dense) else None

    def _stack(self, level: int) -> Floats | None:
        """R's slices of a level, stacked, where all of them have bits in most columns."""
        some = [self._right[level - number] for number in range(level + 1)]
        if not level or any(one.columns is not None for one in some):
            return None
        return np.vstack([one.values for one in some])

    def _check(self, bounds: list[list[int]]) -> None:
        """Σ over a level of max|Lᵢ|·max|Rⱼ|, in steps of that level's grid, in exact integers."""
        for level in range(self._depth + 1):
            pairs = ((bounds[i], self._right_bounds[level - i]) for i in range(level + 1))
            steps = sum(a * b for left, right in pairs for a, b in zip(left, right, strict=True))
            if steps > EXACT:
                raise IntegrityError(f"`{self._what}`: its factors do not multiply exactly")

    def _sparse(self, parts: list[Floats], level: int) -> Floats | None:
        """Σ LᵢRⱼ over i + j = level; None where no slice has bits there."""
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
    """Add left @ right to the total, in place, only in rows and columns that have bits."""
    some = 2 * rows.size < left.shape[0]
    product = (left[rows] if some else left) @ right.values
    if right.columns is None and some:
        total[rows] += product
    elif right.columns is None:
        total += product
    elif some:
        total[np.ix_(rows, right.columns)] += product
    else:
        total[:, right.columns] += product


def _tops(factor: Factor, what: str) -> Floats:
    """The largest magnitude in each column."""
    tops = np.zeros(factor.words.shape[1])
    for block in factor.blocks():
        if not np.isfinite(block).all():
            raise IntegrityError(f"`{what}`: a factor holds NaN or Inf")
        tops = np.maximum(tops, np.abs(block).max(axis=0, initial=0.0))
    return tops


def _slices(values: Floats, width: int, count: int) -> tuple[list[Floats], list[list[int]]]:
    """Slices of each row [a, r], and of each slice the largest steps in each of r columns.

    Every operation is exact: divisions are by powers of two, and what a rounding leaves over is
    shorter than what was rounded.
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
