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

from skillpm.errors import IntegrityError

TOKENS = 256
FREQUENCY_BITS = 12
"""The frequencies of a table sum to 2^12."""
TOTAL = 1 << FREQUENCY_BITS
RESOLUTIONS = (1, 2, 4, 8, 16)
"""Levels per octave that a table can have; its index is stored in three bits."""
DRAFT = (4,)
"""The resolutions with which the encoder compares splits."""
_OCTAVES = 14
"""Levels go down to 2^-14. A token at that level has the lowest frequency, 1 of 4096."""
_RICES = 8
"""The number of Rice parameters: 0 to 7, stored in three bits."""
_PADDING = 7
"""The most padding bits at the end of the stored tables."""

Matrix = npt.NDArray[np.int64]


def _root(sixteenths: int) -> int:
    """Return floor(2^(24 + sixteenths / 16)), exact on every machine.

    Computed by nested integer square roots.
    """
    power = 1 << (16 * 24 + sixteenths)
    return isqrt(isqrt(isqrt(isqrt(power))))


_WEIGHTS = np.array([_root(-level) for level in range(16 * _OCTAVES + 1)], dtype=np.int64)
"""The weight of each level at the finest resolution. Coarser resolutions use every second,
fourth ... entry."""
_COSTS = np.round(np.log2(TOTAL / np.arange(1, TOTAL + 1)) * 65536) / 65536
"""Bits of a token of frequency 1, 2 ... 4096, rounded to 2^-16 so that a difference of one ulp
between machines cannot change a choice."""


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
    """Compute levels, frequencies, stored bits and data bits for all rows at one resolution."""
    present = rows > 0
    # A frequency is 1 plus a share in proportion to the weight: levels describe the share alone.
    scale = TOTAL / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    targets = np.maximum(rows * scale - 1, 0.125)
    exact = np.log2(targets.max(axis=1, keepdims=True) / targets)
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
    """Compute frequencies [rows, 256] that sum to 4096, in integer arithmetic.

    Each present token gets 1 and a share in proportion to its weight. What rounding leaves over
    goes to the first tokens, 1 each.
    """
    weights = _WEIGHTS[levels * strides[:, None]] * present
    places = present.sum(axis=1, keepdims=True)
    shares = weights * (TOTAL - places) // np.maximum(weights.sum(axis=1, keepdims=True), 1)
    frequencies: Matrix = (1 + shares) * present
    left = TOTAL - frequencies.sum(axis=1, keepdims=True)
    frequencies += present & (np.cumsum(present, axis=1) <= left)
    return frequencies


def _residuals(levels: Matrix, present: npt.NDArray[np.bool_]) -> Matrix:
    """Compute the zigzag difference of each level from the previous token's level in the table."""
    place = np.where(present, np.arange(TOKENS), -1)
    before = np.maximum.accumulate(place, axis=1)[:, :-1]
    before = np.concatenate([np.full((len(levels), 1), -1), before], axis=1)
    earlier = np.where(before >= 0, np.take_along_axis(levels, before, axis=1), 0)
    steps = levels - earlier
    return (steps << 1) ^ (steps >> 63)


def _rice_bits(residuals: Matrix, present: npt.NDArray[np.bool_]) -> Matrix:
    """Return the bits [Rice parameters, rows] that the residuals take."""
    costs = [((residuals >> k) + 1 + k) * present for k in range(_RICES)]
    return np.stack([cost.sum(axis=1) for cost in costs])


def dump_tables(tables: Tables) -> bytes:
    """Serialise the tables as bits, in the order of their contexts."""
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
    """Parse the tables of the contexts in `used`, whose tokens are below `tokens`.

    Raises `IntegrityError` if they are damaged.
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
    """Fill one table in place and return the index of its resolution."""
    last = bits.number(8)
    if last >= tokens:
        raise IntegrityError(f"a frequency table has token {last}, expected less than {tokens}")
    present[last] = True
    if bits.number(1):
        return 0
    resolution, rice = bits.number(3), bits.number(3)
    if resolution >= len(RESOLUTIONS):
        raise IntegrityError(f"a frequency table has the unknown resolution {resolution}")
    holes = bits.number(1)
    present[:last] = [bits.number(1) == 1 for _ in range(last)] if holes else True
    level, deepest = 0, RESOLUTIONS[resolution] * _OCTAVES
    for place in np.flatnonzero(present).tolist():
        residual = bits.zeros() << rice | bits.number(rice)
        level += (residual >> 1) ^ -(residual & 1)
        if not 0 <= level <= deepest:
            raise IntegrityError(f"a frequency table has level {level}, expected 0 to {deepest}")
        levels[place] = level
    return resolution


class _Bits:
    """A reader of bits, most significant first; a read past the end raises `IntegrityError`."""

    def __init__(self, data: bytes) -> None:
        self._text = bin(int.from_bytes(b"\1" + data, "big"))[3:]
        self._place = 0

    def number(self, width: int) -> int:
        """Read the next `width` bits as an integer."""
        start, self._place = self._place, self._place + width
        if self._place > len(self._text):
            raise IntegrityError("the frequency tables of an entropy-coded stream are truncated")
        return int(self._text[start : self._place] or "0", 2)

    def zeros(self) -> int:
        """Count the zeros before the next one bit, and skip them and the one."""
        position = self._text.find("1", self._place)
        if position < 0:
            raise IntegrityError("the frequency tables of an entropy-coded stream are truncated")
        count, self._place = position - self._place, position + 1
        return count

    def close(self) -> None:
        """Raise `IntegrityError` if more is left than zero bits that pad to a byte."""
        rest = self._text[self._place :]
        if len(rest) > _PADDING or "1" in rest:
            raise IntegrityError("the frequency tables of an entropy-coded stream have extra bytes")
