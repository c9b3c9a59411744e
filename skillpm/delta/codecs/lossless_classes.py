"""Classes of rows and columns by how far a chunk's words moved; only an encoder needs them.

A word's movement is compared with the mean movement of words of its octave, so that a row of small
weights is not mistaken for a row that moved far. Sums are of integers, the same on every machine.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.classes import NONE, Classes, Codes, encode_classes
from skillpm.delta.coding.integers import Counts, token_lows
from skillpm.delta.coding.raw_bits import byte_counts
from skillpm.delta.kernels import contexts as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.words import Bytes, Words

_PER_OCTAVE = 3
"""Classes per octave of movement."""
_CAP = 4
"""Longer movements count as this one, so that one word does not decide the class of its row."""
_ROW_SPREAD, _COLUMN_SPREAD = 18, 12
"""The classes of a side are at most this far apart."""
_MOST_SUMS = 25
"""More sums would leave too few octaves."""
_ENDS = np.array([0.005, 0.999])
"""The shares of words with smaller sums than the least and the largest sum that are told apart."""
_OUTLIERS = 0.005
"""The share of rows or columns at either end that may be given a nearer class."""
_NOISE = 1.0
"""Bits by which a class of a row or column improves the fit if it says nothing."""
_WORTH = 200
"""Classes must seem to save one bit in this many: choosing a map for them takes time."""
_ONE = 16
"""Fixed-point bits of an expected movement."""

Sums = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """The rows of `width` words that a chunk of `size` words touches; it starts at `offset`."""

    rows: int
    width: int
    offset: int
    size: int

    def framed(self, values: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
        """Return values [size] as whole rows [rows, width], with zeros beside the chunk."""
        frame = np.zeros(self.rows * self.width, dtype=values.dtype)
        frame[self.offset : self.offset + self.size] = values
        return frame.reshape(self.rows, self.width)

    def contexts(self, classes: Classes) -> Bytes:
        """Return the sum of the classes of each word's row and column [size]."""
        return classes.contexts(self.offset, self.offset + self.size, self.width)


@dataclass(frozen=True, slots=True)
class Movement:
    """How movements count, by octave [octaves]: halved `shift` times and capped.

    `expected` are the means of what counts, in fixed point.
    """

    shifts: Sums
    expected: Sums

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Return the movements of words with these counts of tokens [octaves, tokens]."""
        distances = (token_lows().astype(np.int64) + 1) >> 1
        words = np.maximum(counts.sum(axis=1), 1)
        means = counts @ distances // words
        shifts = np.maximum(np.frexp(means.astype(np.float64))[1] - 1, 0).astype(np.int64)
        capped = np.minimum(distances >> shifts[:, None], _CAP)
        return cls(shifts, ((counts * capped).sum(axis=1) << _ONE) // words)


@dataclass(frozen=True, slots=True)
class Side:
    """How far each row, or each column, moved [count], and what was expected, in fixed point.

    `little` is the movement of two words, which is added to both.
    """

    moved: Sums
    expected: Sums
    little: float

    def classes(self, spread: int) -> Codes:
        """Return classes from 0 to `spread`, by the logarithm of the movement."""
        ratios = np.log2((self.moved + self.little) / (self.expected + self.little))
        found = np.rint(_PER_OCTAVE * ratios).astype(np.int32)
        ordered = np.sort(found[self.moved > 0])
        margin = int(ordered.size * _OUTLIERS)
        low, top = int(ordered[margin]), int(ordered[-1 - margin])
        low = max(low, top - spread)
        classes: Codes = np.clip(found, low, top) - np.int32(low)
        return classes

    def saves(self, classes: Codes) -> float:
        """Return about how many bits classes of this side save."""
        scale = float(self.moved.sum()) / max(float(self.expected.sum()), 1.0)
        some = self.moved > 0
        ratios = self.moved[some] / np.maximum(self.expected[some] * scale, 1)
        gain = float((self.moved[some] * np.log2(ratios)).sum()) / (1 << _ONE)
        return gain - _NOISE * classes.size - 8 * len(encode_classes(classes))


def choose_cells(
    grid: Grid, folded: Words, below: Bytes, counts: Counts, bits: float
) -> tuple[Classes, int, int] | None:
    """Return classes of a chunk's words, the least sum of two classes, and the number of sums.

    `below` [n] are the octaves of the words, `counts` [octaves, tokens] their tokens, and `bits`
    what they take without classes. Rows without movement have a sum of their own, the least one.
    None if classes seem to save too little.
    """
    by_row, by_column = _sides(grid, folded, below, Movement.of(counts))
    if not by_row.moved.any():
        return None
    rows, columns = by_row.classes(_ROW_SPREAD), by_column.classes(_COLUMN_SPREAD)
    saves = by_row.saves(rows), by_column.saves(columns)
    rows, columns = (
        side if saved > 0 else NONE for side, saved in zip((rows, columns), saves, strict=True)
    )
    saved = max(saves[0], 0) + max(saves[1], 0)
    if saved * _WORTH < bits:
        return None
    floor = 0
    if rows.size and not by_row.moved.all():
        floor = int(columns.max(initial=0))
        rows = np.where(by_row.moved == 0, 0, rows + floor + 1).astype(np.int32)
    classes = Classes(rows, columns)
    sums = byte_counts(grid.contexts(classes))
    sums[: floor + 1] = 0
    low, top = np.searchsorted(np.cumsum(sums), _ENDS * sums.sum()).tolist()
    if top <= floor:
        return None
    floor = max(floor, low - 1)
    return classes, floor, min(top - floor + 1, _MOST_SUMS)


def _sides(grid: Grid, folded: Words, below: Bytes, movement: Movement) -> tuple[Side, Side]:
    """Return the movement of the rows and of the columns of a chunk of words [n]."""
    moved, expected = _sums(grid, folded, below, movement)
    moved = [each << _ONE for each in moved]
    little = 2 * float(moved[0].sum()) / grid.size
    return Side(moved[0], expected[0], little), Side(moved[1], expected[1], little)


def _sums(
    grid: Grid, folded: Words, below: Bytes, movement: Movement
) -> tuple[list[Sums], list[Sums]]:
    """Return the movements of rows and of columns, and what was expected of both."""
    if compiled(folded.size):
        moved, expected = (
            [np.zeros(count, dtype=np.int64) for count in (grid.rows, grid.width)] for _ in range(2)
        )
        kernels.movements(
            folded, below, movement.shifts, movement.expected, _CAP, grid.offset,
            *moved, *expected,
        )  # fmt: skip
        return moved, expected
    kind = folded.dtype.type
    distances = (folded >> kind(1)) + (folded & kind(1))
    distances >>= movement.shifts.astype(kind)[below]
    counted = np.minimum(distances, kind(_CAP)).astype(np.uint8)
    frames = [grid.framed(counted), grid.framed(movement.expected.astype(np.uint32)[below])]
    moved, expected = (
        [frame.sum(axis=axis, dtype=np.int64) for axis in (1, 0)] for frame in frames
    )
    return moved, expected
