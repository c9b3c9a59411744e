"""Frequency tables of the entropy coder: 12 bits per token in use, about 3 bits when stored.

A table stores a level for each token: -log2 of the token's weight relative to the largest weight,
rounded to a multiple of 1/resolution. Encoder and decoder compute frequencies from the levels in
integer arithmetic, so a stored table always sums to 4096. For each context the encoder picks the
resolution at which the table and its tokens take the fewest bits; a context with few integers gets
a coarse table.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from skillpm.delta.kernels import tables as kernels
from skillpm.delta.kernels.choice import compiled

TOKENS = 256
FREQUENCY_BITS = 12
"""The frequencies of a table sum to 2^12."""
TOTAL = 1 << FREQUENCY_BITS
RESOLUTIONS = (1, 2, 4, 8, 16)
"""Levels per octave that a table can have; its index is stored in three bits."""
DRAFT = (4,)
"""The resolutions with which the encoder compares splits."""
OCTAVES = 14
"""Levels go down to 2^-14. A token at that level has the lowest frequency, 1 of 4096."""
_RICES = 8
"""The number of Rice parameters: 0 to 7, stored in three bits."""
TABLE_WORK = 1 << 12
"""Choosing or reading tables takes as long as coding this many integers."""

Matrix = npt.NDArray[np.int64]


def _root(bits: int, thirty_seconds: int) -> int:
    """Return floor(2^(bits + thirty_seconds / 32)), exact on every machine.

    Computed by nested integer square roots.
    """
    power = 1 << (32 * bits + thirty_seconds)
    return isqrt(isqrt(isqrt(isqrt(isqrt(power)))))


WEIGHTS = np.array([_root(24, -2 * level) for level in range(16 * OCTAVES + 1)], dtype=np.int64)
"""The weight of each level at the finest resolution. Coarser resolutions use every second,
fourth ... entry."""
_EDGES = np.array([_root(60, step) / (1 << 60) for step in range(32 * OCTAVES + 1)])
"""2^(step / 32). At resolution r, level k begins at the ratio 2^((k - 1/2) / r), which is one of
these; comparing with it is exact, where a logarithm differs between machines."""
_COSTS = np.round(np.log2(TOTAL / np.arange(1, TOTAL + 1)) * 65536).astype(np.int64)
"""Bits of a token of frequency 1, 2 ... 4096 in units of 2^-16, so that a difference of one ulp
between machines cannot change a choice."""
_COST_UNIT = 65536


@dataclass(frozen=True, slots=True)
class Tables:
    """Frequencies [contexts used, 256] of the contexts in `used`, in ascending order.

    A row with a single token has the frequency 4096 for it, and no token of that context is coded.
    `levels` [contexts used, 256] and `resolutions` [contexts used] are stored. `stored_bits` and
    `data_bits` are the sizes of the tables and of the tokens in bits; `coded` is the number of
    tokens coded.
    """

    used: Matrix
    frequencies: Matrix
    levels: Matrix
    resolutions: Matrix
    stored_bits: int = 0
    data_bits: float = 0.0
    coded: int = 0

    @property
    def reach(self) -> int:
        """The largest token of any table, plus one."""
        tokens = np.flatnonzero(self.frequencies.any(axis=0))
        return int(tokens[-1]) + 1 if tokens.size else 0

    def single(self) -> npt.NDArray[np.bool_]:
        """Which rows [contexts used] have a single token."""
        alone: npt.NDArray[np.bool_] = self.frequencies.max(axis=1, initial=0) == TOTAL
        return alone


def choose_tables(counts: Matrix, resolutions: tuple[int, ...] = RESOLUTIONS) -> Tables:
    """Choose the cheapest table for each context that occurs in `counts` [contexts, 256]."""
    used = np.flatnonzero(counts.any(axis=1))
    rows = counts[used]
    if compiled(TABLE_WORK):
        return _choose_compiled(used, rows, resolutions)
    plans = [_quantised(rows, resolution) for resolution in resolutions]
    totals = np.array([stored + data for _, _, stored, data in plans]).reshape(
        len(plans), used.size
    )
    best = np.argmin(totals, axis=0)
    pick = (best, np.arange(used.size))
    levels, frequencies, stored, data = (
        np.stack([plan[place] for plan in plans])[pick] for place in range(4)
    )
    coded = int(rows.sum()) - int(rows[frequencies.max(axis=1, initial=0) == TOTAL].sum())
    bits = int(stored.sum())
    return Tables(used, frequencies, levels, best, bits, float(data.sum()), coded)


def _choose_compiled(used: Matrix, rows: Matrix, resolutions: tuple[int, ...]) -> Tables:
    levels, frequencies = np.empty_like(rows), np.empty_like(rows)
    best, stored, data = np.empty((3, used.size), dtype=np.int64)
    strides = np.array([16 // resolution for resolution in resolutions])
    kernels.choose(
        rows.reshape(-1), strides, WEIGHTS, _EDGES, _COSTS,
        levels.reshape(-1), frequencies.reshape(-1), best, stored, data,
    )  # fmt: skip
    coded = int(rows[frequencies.max(axis=1, initial=0) < TOTAL].sum())
    bits = int(data.sum()) / _COST_UNIT
    return Tables(used, frequencies, levels, best, int(stored.sum()), bits, coded)


def _quantised(
    rows: Matrix, resolution: int
) -> tuple[Matrix, Matrix, Matrix, npt.NDArray[np.float64]]:
    """Compute levels, frequencies, stored bits and data bits for all rows at one resolution."""
    present = rows > 0
    # A frequency is 1 plus a share in proportion to the weight: levels describe the share alone.
    scale = TOTAL / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    targets = np.maximum(rows * scale - 1, 0.125)
    edges = _EDGES[16 // resolution :: 32 // resolution]
    ratios = targets.max(axis=1, keepdims=True) / targets
    levels = np.searchsorted(edges, ratios).astype(np.int64) * present
    frequencies = frequencies_of(levels, present, np.full(len(rows), 16 // resolution))
    data = (rows * _COSTS[np.maximum(frequencies, 1) - 1]).sum(axis=1) / _COST_UNIT
    rice = rice_bits(residuals_of(levels, present), present).min(axis=0)
    last = TOKENS - 1 - np.argmax(present[:, ::-1], axis=1)
    single = present.sum(axis=1) == 1
    holes = present.sum(axis=1) <= last
    stored = np.where(single, 9, 16 + rice + holes * last)
    return levels, frequencies, stored, data


def frequencies_of(levels: Matrix, present: npt.NDArray[np.bool_], strides: Matrix) -> Matrix:
    """Compute frequencies [rows, 256] that sum to 4096, in integer arithmetic.

    Each present token gets 1 and a share in proportion to its weight. What rounding leaves over
    goes to the first tokens, 1 each.
    """
    weights = WEIGHTS[levels * strides[:, None]] * present
    places = present.sum(axis=1, keepdims=True)
    shares = weights * (TOTAL - places) // np.maximum(weights.sum(axis=1, keepdims=True), 1)
    frequencies: Matrix = (1 + shares) * present
    left = TOTAL - frequencies.sum(axis=1, keepdims=True)
    frequencies += present & (np.cumsum(present, axis=1) <= left)
    return frequencies


def residuals_of(levels: Matrix, present: npt.NDArray[np.bool_]) -> Matrix:
    """Compute the zigzag difference of each level from the previous token's level in the table."""
    place = np.where(present, np.arange(TOKENS), -1)
    before = np.maximum.accumulate(place, axis=1)[:, :-1]
    before = np.concatenate([np.full((len(levels), 1), -1), before], axis=1)
    earlier = np.where(before >= 0, np.take_along_axis(levels, before, axis=1), 0)
    steps = levels - earlier
    return (steps << 1) ^ (steps >> 63)


def rice_bits(residuals: Matrix, present: npt.NDArray[np.bool_]) -> Matrix:
    """Return the bits [Rice parameters, rows] that the residuals take."""
    costs = [((residuals >> k) + 1 + k) * present for k in range(_RICES)]
    return np.stack([cost.sum(axis=1) for cost in costs])
