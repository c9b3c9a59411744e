"""Contexts for an integer matrix: a class of each row and of each column, added up.

The magnitudes of a quantised matrix differ by row and by column: by token in an embedding, by
singular value in a factor. A class is a logarithm of the mean magnitude, and the sum of both
classes is the context under which an entry is coded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.boxes import boxes
from skillpm.delta.entropy import CONTEXTS, encode_integers, integer_bits

Codes = npt.NDArray[np.int32]
Contexts = npt.NDArray[np.uint8]
_CAP = 32
"""Larger magnitudes count as this one: a single entry must not make the class of its row."""
_SAMPLE = 1 << 20
"""So many entries, in rows spread over the matrix, tell which classes are best."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Classes:
    """Of each row and of each column, none negative; empty where that side has none."""

    rows: Codes
    columns: Codes

    def contexts(self, start: int, stop: int, width: int) -> Contexts:
        """The contexts of the entries from `start` to before `stop` of the flat matrix."""
        contexts = np.zeros(stop - start, dtype=np.uint8)
        rows, columns = _capped(self.rows), _capped(self.columns)
        for box in boxes(start, stop, width):
            grid = contexts[box.start - start : box.stop - start].reshape(box.shape)
            if columns.size:
                grid += columns[box.columns]
            if rows.size:
                grid += rows[box.rows, None]
        return np.minimum(contexts, np.uint8(CONTEXTS - 1), out=contexts)

    def at(self, step: int) -> "Classes":
        """Those of every so many rows."""
        return Classes(self.rows[::step], self.columns)


def _capped(classes: Codes) -> Contexts:
    """Two capped classes add up below 256, and to the same context as they were."""
    return np.minimum(classes, CONTEXTS - 1).astype(np.uint8)


NONE = np.zeros(0, dtype=np.int32)


def choose_classes(codes: Codes) -> Classes:
    """The classes that make a matrix [rows, width] smallest, their own bytes counted."""
    plain = Classes(NONE, NONE)
    if not codes.size:
        return plain
    step = -(-codes.size // _SAMPLE)
    sample = codes[::step]
    flat, share = sample.reshape(-1), codes.size / sample.size
    found: list[tuple[float, int, Classes]] = []
    for number, classes in enumerate((plain, *_ways(codes))):
        side = 8 * sum(len(encode_classes(each)) for each in (classes.rows, classes.columns))
        contexts = classes.at(step).contexts(0, flat.size, codes.shape[1])
        found.append((share * integer_bits(flat, contexts) + side, number, classes))
    return min(found, key=lambda one: one[:2])[2]


def _ways(codes: Codes) -> Iterator[Classes]:
    """By column, by row and by both, an octave or half of one to a class."""
    by_row, by_column, overall = _means(codes)
    for per_octave in (1, 2):
        columns, rows, relative = (
            _from_zero(np.rint(per_octave * np.log2(means)).astype(np.int32))
            for means in (by_column, by_row, by_row / overall)
        )
        yield Classes(NONE, columns)
        yield Classes(rows, NONE)
        yield Classes(relative, columns)


def _means(codes: Codes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """The mean magnitude of each row, of each column and of all, none of them zero."""
    height, width = codes.shape
    by_row, by_column = np.zeros(height, dtype=np.int64), np.zeros(width, dtype=np.int64)
    step = max(1, _BLOCK // width)
    for first in range(0, height, step):
        sizes = np.abs(np.clip(codes[first : first + step], -_CAP, _CAP).astype(np.int8))
        by_row[first : first + step] = sizes.sum(axis=1, dtype=np.int64)
        by_column += sizes.sum(axis=0, dtype=np.int64)
    overall = (float(by_row.sum()) + 0.5) / codes.size
    return by_row / width + overall / 64, by_column / height + overall / 64, overall


def _from_zero(classes: Codes) -> Codes:
    shifted: Codes = classes - classes.min()
    return shifted


def encode_classes(classes: Codes) -> bytes:
    """Classes as the steps between neighbours, which differ by little; nothing for none."""
    if not classes.size:
        return b""
    steps = np.diff(classes, prepend=np.int32(0)).astype(np.int32)
    return encode_integers(steps, np.zeros(steps.size, dtype=np.uint8))
