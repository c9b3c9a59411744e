"""Counts of quantised magnitudes by context, at any step, from one sort of a sample.

The magnitudes of a sample are sorted within groups (the sum of a row class and a column class is a
context of the coder, `codecs.shared.classes`). The counts of a quantised value at a step, and the
sums of the magnitudes under it, are then differences of prefix sums: rounding to another step costs
a binary search for each value, not a pass over the sample.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.auto.deadzone import OFFSET
from skillpm.delta.tensors.rounding import Floats

Classes = npt.NDArray[np.int32]
SINGLES = 31
"""Quantised magnitudes up to this have a bucket each; larger ones share quarters of octaves."""
_OCTAVES = 15
_TABLE_BITS, _TOKEN_BITS = 4.0, 5.0
"""The guessed bits of a frequency table, and of each token in it."""


def _edges() -> npt.NDArray[np.float64]:
    """Return the least quantised magnitude of every bucket but that of zero."""
    wide = [(4 + quarter) << (octave + 3) for octave in range(_OCTAVES) for quarter in range(4)]
    return np.array([*range(1, SINGLES + 1), *wide], dtype=np.float64)


_EDGES = _edges()
_TINY = np.array([1], dtype=np.uint32).view(np.float32)
"""The least positive number."""
_RAW_BITS = np.array(
    [0.0] * (SINGLES + 1) + [3.0 + octave for octave in range(_OCTAVES) for _ in range(4)]
)
"""The bits that follow a token of each bucket: the sign is counted separately."""


@dataclass(frozen=True)
class Buckets:
    """Counts [rows, columns, buckets] by classes of rows and columns, and sums of magnitudes.

    `sums` and `squares` [rows, columns, buckets] are of the magnitudes and of their squares. All of
    them are weighted to stand for the whole matrix. The first bucket is that of zero. A row class
    is as wide as `stride` column classes.
    """

    counts: Floats
    sums: Floats
    squares: Floats
    stride: int = 1

    def columns(self, used: npt.NDArray[np.bool_]) -> "Buckets":
        """Keep the column classes in `used`."""
        return Buckets(self.counts[:, used], self.sums[:, used], self.squares[:, used], self.stride)

    def without_zero_columns(self, own: Floats, other: Floats) -> "Buckets":
        """Leave out the columns of a factor that are zero in it or in the other factor.

        `own` and `other` [columns] are the shares of the columns that have another entry.
        """
        counts = self.counts * other[:, None]
        moved = counts[:, :, 1:].sum(axis=2)
        counts[:, :, 0] = np.maximum((counts[:, :, 0] + moved) * own - moved, 0.0)
        return Buckets(counts, self.sums, self.squares, self.stride)

    def octave_bits(self, row_bits: float) -> float:
        """Estimate the bits of all entries if columns are octaves of the reference's exponents."""
        counts = self.counts
        choices = _entropy(counts.sum(axis=0)), _entropy(_flat(counts)) + row_bits
        return self._fixed + min(choices)

    @property
    def _fixed(self) -> float:
        """The bits that are not entropy-coded, and those of signs."""
        raw = self.counts * _RAW_BITS[: self.counts.shape[2]]
        return float(raw.sum() + self.counts[:, :, 1:].sum())

    def bits(self, row_bits: float, column_bits: float) -> float:
        """Estimate the bits of all entries under the cheapest contexts, with their classes."""
        counts = self.counts
        choices = (
            _entropy(counts.sum(axis=(0, 1))[None]),
            _entropy(counts.sum(axis=0)) + column_bits,
            _entropy(counts.sum(axis=1)) + row_bits,
            _entropy(_diagonals(counts, self.stride)) + row_bits + column_bits,
        )
        return self._fixed + min(choices)


def _flat(counts: Floats) -> Floats:
    """Return a row for each pair of classes, [pairs, buckets]."""
    return counts.reshape(-1, counts.shape[2])


def _diagonals(counts: Floats, stride: int) -> Floats:
    """Sum the groups whose classes have the same sum, [contexts, buckets]."""
    rows, columns, buckets = counts.shape
    merged = np.zeros((stride * (rows - 1) + columns, buckets))
    for row in range(rows):
        merged[stride * row : stride * row + columns] += counts[row]
    return merged


def _entropy(counts: Floats) -> float:
    """Return the bits of counts [contexts, buckets]: their entropy, and the tables."""
    totals = counts.sum(axis=1)
    data = _log_sum(totals) - _log_sum(counts)
    shared = (counts > 0).sum(axis=1)
    tokens = 2 * shared[shared > 1].sum() - np.count_nonzero(shared > 1)  # of both signs
    return data + _TABLE_BITS * np.count_nonzero(totals) + _TOKEN_BITS * float(tokens)


def _log_sum(counts: Floats) -> float:
    seen = counts[counts > 0]
    return float((seen * np.log2(seen)).sum())


class SortedMagnitudes:
    """The magnitudes of a sample [k, n], sorted by the classes of rows [k] and columns [n].

    The classes of columns may also be given for each entry, [k, n].

    `weights` [row classes] is the number of rows for each sampled row of a class.
    """

    def __init__(
        self,
        values: npt.NDArray[np.float32],
        rows: Classes,
        columns: Classes,
        weights: Floats,
        *,
        stride: int = 1,
    ) -> None:
        self._stride = stride
        self._shape = weights.size, int(columns.max()) + 1
        self._weights = weights[:, None, None]
        groups = rows[:, None] * self._shape[1] + columns
        moved = values != 0
        keys = np.abs(values[moved]).view(np.uint32).astype(np.uint64)
        keys |= groups[moved].astype(np.uint64) << np.uint64(32)
        keys.sort()
        self._keys = keys
        sizes = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
        self._sums = np.concatenate([[0.0], np.cumsum(sizes, dtype=np.float64)])
        self._squares = np.concatenate([[0.0], np.cumsum(np.square(sizes, dtype=np.float64))])
        count = self._shape[0] * self._shape[1]
        self._totals = np.bincount(groups.reshape(-1), minlength=count).reshape(self._shape)
        self.largest = float(sizes.max(initial=0.0))

    def at(self, step: float) -> Buckets:
        """Return the buckets of the magnitudes that are quantised with a step and a dead zone."""
        edges = _EDGES[: int(np.searchsorted(_EDGES, self.largest / step + OFFSET, "right"))]
        bounds = np.concatenate([_TINY, ((edges - OFFSET) * step).astype(np.float32)])
        groups = np.arange(self._shape[0] * self._shape[1] + 1, dtype=np.uint64) << np.uint64(32)
        targets = (groups[:-1, None] | bounds.view(np.uint32).astype(np.uint64)).reshape(-1)
        places = np.searchsorted(self._keys, targets).reshape(-1, bounds.size)
        ends = np.searchsorted(self._keys, groups[1:])
        marks = np.concatenate([places, ends[:, None]], axis=1)
        shape = (*self._shape, bounds.size)
        counts, sums, squares = (
            self._weights * np.diff(values, axis=1).reshape(shape)
            for values in (marks, self._sums[marks], self._squares[marks])
        )
        counts[:, :, 0] += self._weights[:, :, 0] * self._totals - counts.sum(axis=2)
        return Buckets(counts, sums, squares, self._stride)
