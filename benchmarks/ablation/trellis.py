"""Dependent quantisation of columns: two quantisers, and a trellis of eight states between them.

As in VVC and ISO/IEC 15938-17: from level k, quantiser 0 decodes 2k steps, and quantiser 1 decodes
2k - sign(k) steps. The parity of k leads to the next state, and odd states use quantiser 1. The
encoder finds the path of least D + price · bits by the Viterbi algorithm, for all columns at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEXT = np.array([[0, 2], [7, 5], [1, 3], [6, 4], [2, 0], [5, 7], [3, 1], [4, 6]])
"""The next state [state, parity of the level]."""
STATES = len(NEXT)
TOP = 40
"""The largest magnitude of a level."""
_CANDIDATES = 3
_BEFORE = np.array([[(s, p) for s in range(STATES) for p in (0, 1) if NEXT[s, p] == t]
                    for t in range(STATES)])  # fmt: skip
"""The two pairs of state and parity that lead to each state, [state, 2, 2]."""


@dataclass(frozen=True)
class Coded:
    """Levels [d, r], the quantiser of each, and what they decode to, in steps."""

    levels: Ints
    quantisers: Ints
    values: Floats


def decode(levels: Ints) -> Coded:
    """Follow the states of each column [d, r] from state 0."""
    state = np.zeros(levels.shape[1], dtype=np.int64)
    quantisers = np.empty_like(levels)
    for place, row in enumerate(levels):
        quantisers[place] = state & 1
        state = NEXT[state, row & 1]
    values: Floats = (2 * levels - quantisers * np.sign(levels)).astype(np.float64)
    return Coded(levels, quantisers, values)


def encode(values: Floats, bits: Floats, classes: Ints, price: float) -> Coded:
    """Round columns [d, r], in steps, to the path of least squared error + price · bits.

    `bits` [class, quantiser, level + TOP] are those of each level; `classes` [r] are the columns'.
    """
    depth, width = values.shape
    cost = np.full((width, STATES), np.inf)
    cost[:, 0] = 0.0
    chosen = np.empty((depth, width, STATES, 2), dtype=np.int8)  # the level that ends in a state
    origin = np.empty((depth, width, STATES), dtype=np.int8)
    for place, row in enumerate(values):
        best, level = _branches(row, bits[classes], price)  # [r, quantiser, parity]
        sides = np.arange(STATES) & 1
        total = cost[:, :, None] + best[:, sides]  # [r, state, parity]
        entering = total[:, _BEFORE[..., 0], _BEFORE[..., 1]]  # [r, next state, 2]
        which = entering.argmin(-1)
        cost = np.take_along_axis(entering, which[..., None], -1)[..., 0]
        chosen[place], origin[place] = level[:, sides], which
    return decode(_path(cost, chosen, origin))


def _branches(row: Floats, bits: Floats, price: float) -> tuple[Floats, Ints]:
    """The least cost of each quantiser and parity, [r, 2, 2], and its level."""
    sides = np.arange(2)
    centre = np.rint((row[:, None] + sides * np.sign(row)[:, None]) / 2)
    near = centre[..., None] + np.arange(_CANDIDATES) - 1  # [r, quantiser, 3]
    zero = np.zeros((*near.shape[:2], 1))
    levels = np.clip(np.concatenate([near, zero], -1), -TOP, TOP).astype(np.int64)
    decoded = 2.0 * levels - sides[:, None] * np.sign(levels)
    rate = np.take_along_axis(bits, levels + TOP, -1)
    costs = np.square(row[:, None, None] - decoded) + price * rate
    best, kept = np.empty((*near.shape[:2], 2)), np.empty((*near.shape[:2], 2), dtype=np.int64)
    for parity in (0, 1):
        allowed = np.where(levels & 1 == parity, costs, np.inf)
        place = allowed.argmin(-1)[..., None]
        best[..., parity] = np.take_along_axis(allowed, place, -1)[..., 0]
        kept[..., parity] = np.take_along_axis(levels, place, -1)[..., 0]
    return best, kept


def _path(cost: Floats, chosen: npt.NDArray[np.int8], origin: npt.NDArray[np.int8]) -> Ints:
    """The levels [d, r] of the cheapest path of each column."""
    columns = np.arange(len(cost))
    state = cost.argmin(-1)
    levels = np.empty(chosen.shape[:2], dtype=np.int64)
    for place in reversed(range(len(chosen))):
        before = _BEFORE[state, origin[place][columns, state]]
        levels[place] = chosen[place][columns, before[:, 0], before[:, 1]]
        state = before[:, 0]
    return levels


def level_bits(levels: Ints, quantisers: Ints, classes: Ints) -> tuple[Floats, float]:
    """Ideal bits [class, quantiser, level + TOP] of levels [d, r], and the sum of all.

    Unseen levels cost as if they were seen a twentieth of a time.
    """
    groups = 2 * classes + quantisers  # [d, r]
    size = 2 * TOP + 1
    places = groups * size + np.clip(levels, -TOP, TOP) + TOP
    counts = np.bincount(places.reshape(-1), minlength=2 * size * (int(classes.max()) + 1))
    counts = counts.reshape(-1, 2, size)
    smooth = counts + 0.05
    bits = -np.log2(smooth / smooth.sum(-1, keepdims=True))
    shares = np.log2(np.maximum(counts, 1) / np.maximum(counts.sum(-1, keepdims=True), 1))
    return bits, float(-(counts * shares).sum())
