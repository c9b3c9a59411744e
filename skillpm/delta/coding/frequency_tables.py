"""Tables of token frequencies: twelve bits each in the coder, about three in the stream.

A table is stored as levels, -log2 of a token's weight relative to the largest in steps of
1/resolution, rounded. Both sides make frequencies from the levels in integers, so a stored table
always sums to 4096. The encoder picks, per context, the resolution at which table and tokens
together are smallest: few integers need a coarse table.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from skillpm.errors import IntegrityError

TOKENS = 256
FREQUENCY_BITS = 12
TOTAL = 1 << FREQUENCY_BITS
RESOLUTIONS = (1, 2, 4, 8, 16)
DRAFT = (4,)
_OCTAVES = 14
"""Levels reach down to 2^-14: such a token has the least frequency, 1 of 4096."""
_RICES = 8
"""Rice parameters are 0 to 7: three bits of a table."""
_PADDING = 7

Matrix = npt.NDArray[np.int64]


def _root(sixteenths: int) -> int:
    """floor(2^(24 + sixteenths / 16)), by nested integer square roots: exact everywhere."""
    power = 1 << (16 * 24 + sixteenths)
    return isqrt(isqrt(isqrt(isqrt(power))))


_WEIGHTS = np.array([_root(-level) for level in range(16 * _OCTAVES + 1)], dtype=np.int64)
"""The weight of a level of the finest resolution; coarser ones take every second, and so on."""
_COSTS = np.round(np.log2(TOTAL / np.arange(1, TOTAL + 1)) * 65536) / 65536
"""Bits of a token of frequency 1, 2 ... 4096, on a grid, so that no ulp can sway a choice."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Frequencies [contexts used, 256] of the contexts in `used`, ascending.

    Rows that hold a single token sum to 4096 in it: such a context is not coded at all.
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
        """One more than the largest token."""
        tokens = np.flatnonzero(self.frequencies.any(axis=0))
        return int(tokens[-1]) + 1 if tokens.size else 0

    def single(self) -> npt.NDArray[np.bool_]:
        """Which rows hold one token only."""
        alone: npt.NDArray[np.bool_] = self.frequencies.max(axis=1, initial=0) == TOTAL
        return alone


def choose_tables(counts: Matrix, resolutions: tuple[int, ...] = RESOLUTIONS) -> Tables:
    """The cheapest table of each context that occurs in `counts` [contexts, 256]."""
    used = np.flatnonzero(counts.any(axis=1))
    rows = counts[used]
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


def _quantised(
    rows: Matrix, resolution: int
) -> tuple[Matrix, Matrix, Matrix, npt.NDArray[np.float64]]:
    """Levels, frequencies, bits of the stored tables, and bits of the tokens, for all rows."""
    present = rows > 0
    # A frequency is 1 plus a share by weight, so the 1 is taken off before levels are made.
    wished = np.maximum(rows * (TOTAL / np.maximum(rows.sum(axis=1, keepdims=True), 1)) - 1, 0.125)
    exact = np.log2(wished.max(axis=1, keepdims=True) / wished)
    levels = np.minimum(np.round(resolution * exact), resolution * _OCTAVES).astype(np.int64)
    levels *= present
    frequencies = _frequencies(levels, present, np.full(len(rows), 16 // resolution))
    data = (rows * _COSTS[np.maximum(frequencies, 1) - 1]).sum(axis=1)
    rice = _rice_bits(_residuals(levels, present), present).min(axis=0)
    last = TOKENS - 1 - np.argmax(present[:, ::-1], axis=1)
    single = present.sum(axis=1) == 1
    holes = present.sum(axis=1) <= last
    stored = np.where(single, 9, 16 + rice + holes * last)
    return levels, frequencies, stored, data


def _frequencies(levels: Matrix, present: npt.NDArray[np.bool_], strides: Matrix) -> Matrix:
    """Integers alone: 1 for each token, the rest by weight, what rounding left to the first."""
    weights = _WEIGHTS[levels * strides[:, None]] * present
    places = present.sum(axis=1, keepdims=True)
    shares = weights * (TOTAL - places) // np.maximum(weights.sum(axis=1, keepdims=True), 1)
    frequencies: Matrix = (1 + shares) * present
    left = TOTAL - frequencies.sum(axis=1, keepdims=True)
    frequencies += present & (np.cumsum(present, axis=1) <= left)
    return frequencies


def _residuals(levels: Matrix, present: npt.NDArray[np.bool_]) -> Matrix:
    """Zigzag of each level less the one before it in the table; the first stands alone."""
    place = np.where(present, np.arange(TOKENS), -1)
    before = np.maximum.accumulate(place, axis=1)[:, :-1]
    before = np.concatenate([np.full((len(levels), 1), -1), before], axis=1)
    earlier = np.where(before >= 0, np.take_along_axis(levels, before, axis=1), 0)
    steps = levels - earlier
    return (steps << 1) ^ (steps >> 63)


def _rice_bits(residuals: Matrix, present: npt.NDArray[np.bool_]) -> Matrix:
    """[Rice parameters, rows] bits that the residuals take."""
    ways = [((residuals >> k) + 1 + k) * present for k in range(_RICES)]
    return np.stack([way.sum(axis=1) for way in ways])


def dump_tables(tables: Tables) -> bytes:
    """The tables as bits, in the order of contexts."""
    present = tables.frequencies > 0
    residuals = _residuals(tables.levels, present)
    rices = _rice_bits(residuals, present).argmin(axis=0)
    bits: list[str] = []
    for row, resolution in enumerate(tables.resolutions):
        bits += _dump_row(present[row], residuals[row], int(resolution), int(rices[row]))
    text = "".join(bits)
    padded = text + "0" * (-len(text) % 8)
    return int("1" + padded, 2).to_bytes(len(padded) // 8 + 1, "big")[1:]


def _dump_row(
    present: npt.NDArray[np.bool_], residuals: Matrix, resolution: int, rice: int
) -> list[str]:
    places = np.flatnonzero(present)
    last = int(places[-1])
    if places.size == 1:
        return [f"{last:08b}1"]
    holes = places.size <= last
    bits = [f"{last:08b}0{resolution:03b}{rice:03b}{int(holes)}"]
    if holes:
        bits.append("".join("01"[int(bit)] for bit in present[:last]))
    for residual in residuals[places].tolist():
        bits.append("0" * (residual >> rice) + "1")
        if rice:
            bits.append(f"{residual & ((1 << rice) - 1):0{rice}b}")
    return bits


def load_tables(data: bytes, used: Matrix, tokens: int) -> Tables:
    """The tables of the contexts in `used`, of tokens below `tokens`.

    Raises `IntegrityError` where they are damaged.
    """
    shape = (used.size, TOKENS)
    levels, present = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.bool_)
    resolutions = np.zeros(used.size, dtype=np.int64)
    bits = _Bits(data)
    for row in range(used.size):
        resolutions[row] = _load_row(bits, levels[row], present[row], tokens)
    bits.close()
    strides = 16 >> resolutions
    return Tables(used, _frequencies(levels, present, strides), levels, resolutions)


def _load_row(bits: "_Bits", levels: Matrix, present: npt.NDArray[np.bool_], tokens: int) -> int:
    """Fill one table; return the place of its resolution."""
    last = bits.number(8)
    if last >= tokens:
        raise IntegrityError(f"a table names token {last} of {tokens}")
    present[last] = True
    if bits.number(1):
        return 0
    resolution, rice = bits.number(3), bits.number(3)
    if resolution >= len(RESOLUTIONS):
        raise IntegrityError(f"a table names resolution {resolution}")
    holes = bits.number(1)
    present[:last] = [bits.number(1) == 1 for _ in range(last)] if holes else True
    level, deepest = 0, RESOLUTIONS[resolution] * _OCTAVES
    for place in np.flatnonzero(present).tolist():
        residual = bits.zeros() << rice | bits.number(rice)
        level += (residual >> 1) ^ -(residual & 1)
        if not 0 <= level <= deepest:
            raise IntegrityError(f"a table holds the level {level}, beyond {deepest}")
        levels[place] = level
    return resolution


class _Bits:
    """Reads bits from the top; every read past the end is an `IntegrityError`."""

    def __init__(self, data: bytes) -> None:
        self._text = bin(int.from_bytes(b"\1" + data, "big"))[3:]
        self._place = 0

    def number(self, width: int) -> int:
        """The next `width` bits."""
        start, self._place = self._place, self._place + width
        if self._place > len(self._text):
            raise IntegrityError("the tables of an entropy-coded stream end early")
        return int(self._text[start : self._place] or "0", 2)

    def zeros(self) -> int:
        """How many zeros come before the next one, which is passed over."""
        found = self._text.find("1", self._place)
        if found < 0:
            raise IntegrityError("the tables of an entropy-coded stream end early")
        count, self._place = found - self._place, found + 1
        return count

    def close(self) -> None:
        """Only the padding to a byte, zeros, may be left."""
        rest = self._text[self._place :]
        if len(rest) > _PADDING or "1" in rest:
            raise IntegrityError("the tables of an entropy-coded stream are followed by more")
