"""Context maps: many cells share few contexts, as in Brotli and JPEG XL.

An encoder counts the tokens of each cell, and merges the two cells or groups whose merging costs
the fewest bits, until there are few enough groups and every merging costs bits. The map, which is
stored, has the label of each cell.
"""

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.integers import CONTEXTS, Counts
from skillpm.delta.tensors.words import Bytes

_UNIT = 16
"""Costs are in units of 1/16 bit, rounded, so that their sums are exact."""
_TABLE, _TOKEN = 16 * _UNIT, 3 * _UNIT
"""What a frequency table and each of its tokens are taken to cost."""

Costs = npt.NDArray[np.float64]


def choose_labels(counts: Counts, limit: int = CONTEXTS) -> Bytes:
    """Return the label of each cell, below `limit`, from its counts of tokens [cells, tokens].

    Labels ascend with the mean token. A cell that is never used has its predecessor's label, which
    makes the map cheap.
    """
    used = np.flatnonzero(counts.any(axis=1))
    if not used.size:
        return np.zeros(len(counts), dtype=np.uint8)
    rows = counts[used][:, counts.any(axis=0)].astype(np.float64)
    groups = _Groups(rows).merge(limit)
    tokens = np.arange(rows.shape[1])
    alive = np.unique(groups)
    sums = np.stack([rows[groups == group].sum(axis=0) for group in alive])
    order = np.argsort(np.argsort(sums @ tokens / sums.sum(axis=1), kind="stable"))
    labels = order[np.searchsorted(alive, groups)]
    filled = np.searchsorted(used, np.arange(len(counts)), side="right") - 1
    return labels[np.maximum(filled, 0)].astype(np.uint8)


def _weighted(counts: Costs) -> Costs:
    """Return c · log2(c) of counts."""
    weighted: Costs = np.rint(counts * np.log2(np.maximum(counts, 1)) * _UNIT)
    return weighted


def _costs(rows: Costs) -> Costs:
    """Return the bits of each row of counts [..., tokens] under a table of its own."""
    totals = _weighted(rows.sum(axis=-1)) - _weighted(rows).sum(axis=-1)
    costs: Costs = totals + _TABLE + _TOKEN * np.count_nonzero(rows, axis=-1)
    return costs


class _Groups:
    """Groups of cells, merged pair by pair.

    `prices` [cells, cells] are the bits that merging two groups costs, infinite for groups that
    are gone. `least` [cells] is the lowest price of each group, and `partner` [cells] whose it is.
    """

    def __init__(self, rows: Costs) -> None:
        self._rows = rows
        self._costs = _costs(rows)
        cells = len(rows)
        self._groups = np.arange(cells)
        self._prices = np.full((cells, cells), np.inf)
        for one in range(cells - 1):
            others = np.arange(one + 1, cells)
            self._prices[one, others] = self._prices[others, one] = self._merging(one, others)
        self._partner = self._prices.argmin(axis=1)
        self._least = self._prices[np.arange(cells), self._partner]

    def merge(self, limit: int) -> npt.NDArray[np.intp]:
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

    def _merging(self, one: int, others: npt.NDArray[np.intp]) -> Costs:
        together = _costs(self._rows[others] + self._rows[one])
        prices: Costs = together - self._costs[others] - self._costs[one]
        return prices

    def _join(self, one: int, other: int) -> None:
        """Add the group `other` to the group `one`."""
        self._groups[self._groups == other] = one
        self._rows[one] += self._rows[other]
        self._costs[one] = _costs(self._rows[one])
        self._prices[other] = self._prices[:, other] = self._least[other] = np.inf
        rest = np.unique(self._groups)
        rest = rest[rest != one]
        prices = self._merging(one, rest)
        self._prices[one, rest] = self._prices[rest, one] = prices
        stale = rest[(self._partner[rest] == one) | (self._partner[rest] == other)]
        closer = rest[prices < self._least[rest]]
        self._partner[closer], self._least[closer] = one, self._prices[closer, one]
        for each in (*stale, one):
            self._partner[each] = self._prices[each].argmin()
            self._least[each] = self._prices[each, self._partner[each]]
