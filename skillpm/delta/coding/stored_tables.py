"""The stored form of frequency tables: bits, most significant first, in the order of contexts.

A table is its last token (8 bits) and whether that is the only one (1 bit). Otherwise the number of
its resolution and the Rice parameter (3 bits each) follow, whether tokens below the last are absent
(1 bit), for each of them whether it is present if so, and the levels of the tokens present, as
Rice-coded zigzag differences.
"""

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.frequency_tables import (
    OCTAVES,
    RESOLUTIONS,
    TABLE_WORK,
    TOKENS,
    WEIGHTS,
    Matrix,
    Tables,
    frequencies_of,
    residuals_of,
    rice_bits,
)
from skillpm.delta.kernels import stored_tables as kernels
from skillpm.delta.kernels import tables as table_kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.errors import IntegrityError

_TRUNCATED = "the frequency tables of an entropy-coded stream are truncated"
_EXTRA = "the frequency tables of an entropy-coded stream have extra bytes"
_PADDING = 7
"""The most padding bits at the end of the stored tables."""


def dump_tables(tables: Tables) -> bytes:
    """Serialise the tables as bits, in the order of their contexts."""
    present = tables.frequencies > 0
    residuals = residuals_of(tables.levels, present)
    rices = rice_bits(residuals, present).argmin(axis=0)
    if compiled(TABLE_WORK):
        out = np.zeros(kernels.MOST_BYTES * present.shape[0], dtype=np.uint8)
        flags = present.reshape(-1).view(np.uint8)
        size = kernels.dump(residuals.reshape(-1), flags, tables.resolutions, rices, out)
        return out[: (size + 7) // 8].tobytes()
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
    if compiled(TABLE_WORK):
        return _load_compiled(
            data, tokens, Tables(used, np.empty_like(levels), levels, resolutions)
        )
    bits = _Bits(data)
    for row in range(used.size):
        resolutions[row] = _load_row(bits, levels[row], present[row], tokens)
    bits.close()
    strides = 16 >> resolutions
    return Tables(used, frequencies_of(levels, present, strides), levels, resolutions)


def _load_compiled(data: bytes, tokens: int, tables: Tables) -> Tables:
    """Fill the tables in place and return them."""
    flat = np.frombuffer(data, dtype=np.uint8)
    levels, present = tables.levels.reshape(-1), np.zeros(tables.levels.size, dtype=np.uint8)
    detail = np.zeros(2, dtype=np.int64)
    status = kernels.load(flat, tokens, levels, present, tables.resolutions, detail)
    found, most = detail.tolist()
    if status == kernels.TRUNCATED:
        raise IntegrityError(_TRUNCATED)
    if status == kernels.WRONG_TOKEN:
        raise _wrong_token(found, tokens)
    if status == kernels.WRONG_RESOLUTION:
        raise _wrong_resolution(found)
    if status == kernels.WRONG_LEVEL:
        raise _wrong_level(found, most)
    if status == kernels.EXTRA:
        raise IntegrityError(_EXTRA)
    strides = 16 >> tables.resolutions
    table_kernels.share(levels, present, strides, WEIGHTS, tables.frequencies.reshape(-1))
    return tables


def _wrong_token(token: int, tokens: int) -> IntegrityError:
    return IntegrityError(f"a frequency table has token {token}, expected less than {tokens}")


def _wrong_resolution(resolution: int) -> IntegrityError:
    return IntegrityError(f"a frequency table has the unknown resolution {resolution}")


def _wrong_level(level: int, deepest: int) -> IntegrityError:
    return IntegrityError(f"a frequency table has level {level}, expected 0 to {deepest}")


def _load_row(bits: "_Bits", levels: Matrix, present: npt.NDArray[np.bool_], tokens: int) -> int:
    """Fill one table in place and return the index of its resolution."""
    last = bits.number(8)
    if last >= tokens:
        raise _wrong_token(last, tokens)
    present[last] = True
    if bits.number(1):
        return 0
    resolution, rice = bits.number(3), bits.number(3)
    if resolution >= len(RESOLUTIONS):
        raise _wrong_resolution(resolution)
    holes = bits.number(1)
    present[:last] = [bits.number(1) == 1 for _ in range(last)] if holes else True
    level, deepest = 0, RESOLUTIONS[resolution] * OCTAVES
    for place in np.flatnonzero(present).tolist():
        residual = bits.zeros() << rice | bits.number(rice)
        level += (residual >> 1) ^ -(residual & 1)
        if not 0 <= level <= deepest:
            raise _wrong_level(level, deepest)
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
            raise IntegrityError(_TRUNCATED)
        return int(self._text[start : self._place] or "0", 2)

    def zeros(self) -> int:
        """Count the zeros before the next one bit, and skip them and the one."""
        position = self._text.find("1", self._place)
        if position < 0:
            raise IntegrityError(_TRUNCATED)
        count, self._place = position - self._place, position + 1
        return count

    def close(self) -> None:
        """Raise `IntegrityError` if more is left than zero bits that pad to a byte."""
        rest = self._text[self._place :]
        if len(rest) > _PADDING or "1" in rest:
            raise IntegrityError(_EXTRA)
