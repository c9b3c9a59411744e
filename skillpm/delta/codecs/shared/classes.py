"""Contexts for an integer matrix: the sum of a class of the row and a class of the column.

The magnitudes of a quantised matrix differ by row and by column: by token in an embedding, by
singular value in a factor. A class is the rounded logarithm of the mean magnitude. The sum of both
classes is the context under which an entry is coded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.boxes import boxes
from skillpm.delta.coding.integers import CONTEXTS, encode_integers, integer_bits
from skillpm.delta.kernels import grid as kernels
from skillpm.delta.kernels.choice import compiled

Codes = npt.NDArray[np.int32]
Narrow = npt.NDArray[np.signedinteger]
"""Integers: int8 if all of them fit, else int32."""
Contexts = npt.NDArray[np.uint8]
_CAP = 32
"""Larger magnitudes count as this one, so that a single entry does not decide the class of its
row."""
_SAMPLE = 1 << 20
"""Entries, in rows spread over the matrix, on which the choices of classes are compared."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Classes:
    """Classes of rows [m] and of columns [n], not negative; empty for a side without classes."""

    rows: Codes
    columns: Codes

    def contexts(self, start: int, stop: int, width: int) -> Contexts:
        """Return the contexts [stop - start] of the entries start..stop of the flattened matrix."""
        contexts = np.zeros(stop - start, dtype=np.uint8)
        rows, columns = _capped(self.rows), _capped(self.columns)
        if compiled(contexts.size):
            kernels.class_contexts(rows, columns, start, width, CONTEXTS - 1, contexts)
            return contexts
        for box in boxes(start, stop, width):
            grid = contexts[box.start - start : box.stop - start].reshape(box.shape)
            if columns.size:
                grid += columns[box.columns]
            if rows.size:
                grid += rows[box.rows, None]
        return np.minimum(contexts, np.uint8(CONTEXTS - 1), out=contexts)

    def at(self, step: int) -> "Classes":
        """Return the classes of every `step`-th row, and of all columns."""
        return Classes(self.rows[::step], self.columns)


def _capped(classes: Codes) -> Contexts:
    """Return classes as bytes. The sum of two capped classes gives the same context."""
    return np.minimum(classes, CONTEXTS - 1).astype(np.uint8)


NONE = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, order=True)
class PricedClasses:
    """Classes, the bits of a matrix under them with their own, and the order of equal ones."""

    bits: float
    number: int
    classes: Classes = field(compare=False)
    own_bits: int = field(compare=False, default=0)


def choose_classes(codes: Narrow) -> Classes:
    """Return the classes that make a matrix [rows, width] smallest, with their own bytes."""
    return min(price_classes(codes)).classes


def sample_step(codes: Narrow) -> int:
    """Return the stride of the rows on which choices are compared."""
    return max(1, -(-codes.size // _SAMPLE))


def price_classes(codes: Narrow) -> list[PricedClasses]:
    """Return the classes that may suit a matrix [rows, width], each with its price.

    The first are no classes.
    """
    plain = Classes(NONE, NONE)
    if not codes.size:
        return [PricedClasses(0.0, 0, plain)]
    step = sample_step(codes)
    sample = codes[::step].astype(np.int32, copy=False)
    flat, share = sample.reshape(-1), codes.size / sample.size
    priced: list[PricedClasses] = []
    for number, classes in enumerate((plain, *_candidates(codes))):
        own_bits = 8 * sum(len(encode_classes(side)) for side in (classes.rows, classes.columns))
        contexts = classes.at(step).contexts(0, flat.size, codes.shape[1])
        bits = share * integer_bits(flat, contexts) + own_bits
        priced.append(PricedClasses(bits, number, classes, own_bits))
    return priced


def _candidates(codes: Narrow) -> Iterator[Classes]:
    """Yield classes by column, by row and by both, with one or two classes per octave."""
    by_row, by_column, overall = _means(codes)
    for per_octave in (1, 2):
        columns, rows, relative = (
            _from_zero(np.rint(per_octave * np.log2(means)).astype(np.int32))
            for means in (by_column, by_row, by_row / overall)
        )
        yield Classes(NONE, columns)
        yield Classes(rows, NONE)
        yield Classes(relative, columns)


def _means(codes: Narrow) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Return the mean magnitudes of rows [m], of columns [n] and of all entries; none is zero."""
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
    """Encode classes as differences of neighbours, which are small; no bytes for no classes."""
    if not classes.size:
        return b""
    steps = np.diff(classes, prepend=np.int32(0)).astype(np.int32)
    return encode_integers(steps, np.zeros(steps.size, dtype=np.uint8))
