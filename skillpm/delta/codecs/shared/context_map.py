"""Context maps: many cells share few contexts, as in Brotli and JPEG XL.

An encoder counts the tokens of each cell, and merges the two cells or groups whose merging costs
the fewest bits, until there are few enough groups and every merging costs bits. The map, which is
stored, has the label of each cell.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.integers import CONTEXTS, Counts
from skillpm.delta.kernels import groups_of_cells as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.words import Bytes

_UNIT = 16
"""Costs are in units of 1/16 bit."""
_PRICES = np.array([16 * _UNIT, 3 * _UNIT], dtype=np.int64)
"""What a frequency table and each of its tokens are taken to cost."""
_WORK = 1 << 17
"""Merging cells takes as long as coding this many integers."""


def choose_labels(counts: Counts, limit: int = CONTEXTS) -> Bytes:
    """Return the label of each cell, below `limit`, from its counts of tokens [cells, tokens].

    The counts are of one chunk. Labels ascend with the mean token. A cell that is never used has
    its predecessor's label, which makes the map cheap.
    """
    used = np.flatnonzero(counts.any(axis=1))
    if not used.size:
        return np.zeros(len(counts), dtype=np.uint8)
    rows = np.ascontiguousarray(counts[used][:, counts.any(axis=0)])
    groups = _groups(rows, limit)
    alive = np.unique(groups)
    sums = np.stack([rows[groups == group].sum(axis=0) for group in alive])
    means = sums @ np.arange(rows.shape[1]) / sums.sum(axis=1)
    order = np.argsort(np.argsort(means, kind="stable"))
    labels = order[np.searchsorted(alive, groups)]
    filled = np.searchsorted(used, np.arange(len(counts)), side="right") - 1
    return labels[np.maximum(filled, 0)].astype(np.uint8)


def _groups(rows: Counts, limit: int) -> Counts:
    """Return the group of each cell, which is one of its cells, from counts [cells, tokens]."""
    weights = _weights(int(rows.sum()).bit_length())
    if compiled(_WORK):
        groups = np.empty(len(rows), dtype=np.int64)
        kernels.merge_groups(rows.reshape(-1), rows.shape[1], limit, weights, _PRICES, groups)
        return groups
    return _Groups(rows.copy(), weights).merge(limit)


@lru_cache(maxsize=2)
def _weights(bits: int) -> npt.NDArray[np.int32]:
    """Return c · log2(c) of all counts below 2^bits, rounded, so that sums are exact."""
    counts = np.arange(1 << bits, dtype=np.float64)
    return np.rint(counts * np.log2(np.maximum(counts, 1)) * _UNIT).astype(np.int32)


class _Groups:
    """Groups of cells, merged pair by pair.

    `joins` [cells, cells] are the bits that merging two groups costs, `FAR` for groups that are
    gone. `least` [cells] is the lowest of each group, and `partner` [cells] the group it is for.
    """

    def __init__(self, rows: Counts, weights: npt.NDArray[np.int32]) -> None:
        self._rows = rows
        self._weights = weights
        self._costs = self._costs_of(rows)
        cells = len(rows)
        self._groups = np.arange(cells, dtype=np.int64)
        self._joins = np.full((cells, cells), kernels.FAR, dtype=np.int64)
        for one in range(cells - 1):
            others = np.arange(one + 1, cells)
            self._joins[one, others] = self._joins[others, one] = self._joining(one, others)
        self._partner = self._joins.argmin(axis=1)
        self._least = self._joins[np.arange(cells), self._partner]

    def merge(self, limit: int) -> Counts:
        """Merge to at most `limit` groups, and further while that saves bits.

        Returns the group of each cell.
        """
        left = len(self._rows)
        while left > 1:
            one = int(self._least.argmin())
            if left <= limit and self._least[one] >= 0:
                break
            self._join(one, int(self._partner[one]))
            left -= 1
        return self._groups

    def _costs_of(self, rows: Counts) -> Counts:
        """Return the bits of each row of counts [..., tokens] under a table of its own."""
        totals = self._weights.take(rows.sum(axis=-1)).astype(np.int64)
        tokens = _PRICES[1] * np.count_nonzero(rows, axis=-1)
        costs: Counts = totals + _PRICES[0] + tokens
        costs -= self._weights.take(rows).sum(axis=-1, dtype=np.int64)
        return costs

    def _joining(self, one: int, others: npt.NDArray[np.intp]) -> Counts:
        together = self._costs_of(self._rows[others] + self._rows[one])
        together -= self._costs[others] + self._costs[one]
        return together

    def _join(self, one: int, gone: int) -> None:
        """Add the group `gone` to the group `one`."""
        self._groups[self._groups == gone] = one
        self._rows[one] += self._rows[gone]
        self._costs[one] = self._costs_of(self._rows[one])
        self._joins[gone] = self._joins[:, gone] = self._least[gone] = kernels.FAR
        rest = np.unique(self._groups)
        rest = rest[rest != one]
        joins = self._joining(one, rest)
        self._joins[one, rest] = self._joins[rest, one] = joins
        stale = rest[(self._partner[rest] == one) | (self._partner[rest] == gone)]
        closer = rest[joins < self._least[rest]]
        self._partner[closer], self._least[closer] = one, self._joins[closer, one]
        for each in (*stale, one):
            self._partner[each] = self._joins[each].argmin()
            self._least[each] = self._joins[each, self._partner[each]]
