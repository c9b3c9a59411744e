"""Integer matrices as entropy-coded stripes, and the sections that a tensor's one part holds.

The magnitudes of a quantised matrix differ by row and by column: by token in an embedding, by
singular value in a factor. Each row and each column therefore has a class, a logarithm of its
mean magnitude, and the sum of both is the context under which an entry is coded. The classes
travel as side information, where they save more than they cost.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.rough import rough_bits
from skillpm.delta.entropy import CONTEXTS, decode_integers, encode_integers
from skillpm.delta.varint import read_varint, varint
from skillpm.errors import IntegrityError

Codes = npt.NDArray[np.int32]
Contexts = npt.NDArray[np.uint8]
STRIPE = 1 << 22
"""Entries in a stripe: as much is decoded at once."""
CLASS_LIMIT = 1 << 10
_CAP = 32
_NO_CLASSES = np.zeros(0, dtype=np.int32)


class Sections:
    """Byte strings one after the other, each behind its length."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._end = 0

    def next(self) -> bytes:
        """The next section. Raises `IntegrityError` where there is none."""
        size, start = read_varint(self._data, self._end)
        if size > len(self._data) - start:
            raise IntegrityError(f"{self._what} ends within a section")
        self._end = start + size
        return self._data[start : self._end]

    def close(self) -> None:
        """Raise `IntegrityError` where something follows."""
        if self._end != len(self._data):
            raise IntegrityError(f"{self._what} has bytes left over")


def join(sections: list[bytes]) -> bytes:
    """What `Sections` reads."""
    return b"".join(varint(len(section)) + section for section in sections)


def encode_flat(values: Codes) -> bytes:
    """A short list of integers, under one context."""
    return encode_integers(values, np.zeros(values.size, dtype=np.uint8))


def decode_flat(data: bytes, count: int) -> Codes:
    """The inverse of `encode_flat`."""
    return decode_integers(data, np.zeros(count, dtype=np.uint8))


def flat_bits(values: Codes) -> float:
    """The bits of `encode_flat`."""
    return rough_bits(values, None)


@dataclass(frozen=True)
class Classes:
    """Of each row and of each column; empty where that side has none."""

    rows: Codes
    columns: Codes

    def contexts(self, first: int, last: int, width: int) -> Contexts:
        """The contexts of some rows, flat."""
        grid = np.zeros((last - first, width), dtype=np.int32)
        if self.columns.size:
            grid += self.columns
        if self.rows.size:
            grid += self.rows[first:last, None]
        return np.clip(grid, 0, CONTEXTS - 1, out=grid).astype(np.uint8).reshape(-1)


def stripes_of(rows: int, width: int) -> list[tuple[int, int]]:
    """The row spans of the stripes of a matrix."""
    step = max(1, STRIPE // max(1, width))
    return [(first, min(first + step, rows)) for first in range(0, rows, step)]


def encode_matrix(codes: Codes) -> bytes:
    """A matrix [rows, width] of small integers."""
    classes, _ = _choose(codes)
    sections = [_encode_classes(classes.rows), _encode_classes(classes.columns)]
    for first, last in stripes_of(*codes.shape):
        contexts = classes.contexts(first, last, codes.shape[1])
        sections.append(encode_integers(codes[first:last].reshape(-1), contexts))
    return join(sections)


def matrix_bits(codes: Codes) -> float:
    """About the bits of `encode_matrix`, without encoding."""
    spans = stripes_of(*codes.shape)
    classes, bits = _choose(codes)
    for first, last in spans[1:]:
        contexts = classes.contexts(first, last, codes.shape[1])
        bits += rough_bits(codes[first:last].reshape(-1), contexts)
    return bits + 8 * (4 + 2 * len(spans))


class Matrix:
    """A coded matrix, decoded stripe by stripe. Raises `IntegrityError` where it is damaged."""

    def __init__(self, data: bytes, rows: int, width: int, what: str) -> None:
        self._width = width
        self._spans = stripes_of(rows, width)
        sections = Sections(data, what)
        by_row = _decode_classes(sections.next(), rows, what)
        self._classes = Classes(by_row, _decode_classes(sections.next(), width, what))
        self._stripes = [sections.next() for _ in self._spans]
        sections.close()
        self._held: tuple[int, Codes] = (-1, np.zeros((0, width), dtype=np.int32))

    def whole(self) -> Codes:
        """All rows at once."""
        stripes = [self._stripe(number) for number in range(len(self._spans))]
        return np.concatenate(stripes) if stripes else self._held[1]

    def rows(self, first: int, last: int) -> Iterator[Codes]:
        """The rows from `first` to before `last`, in pieces; the last stripe read is held."""
        for number, (start, stop) in enumerate(self._spans):
            if start < last and first < stop:
                if self._held[0] != number:
                    self._held = (number, self._stripe(number))
                yield self._held[1][max(first - start, 0) : last - start]

    def _stripe(self, number: int) -> Codes:
        first, last = self._spans[number]
        contexts = self._classes.contexts(first, last, self._width)
        return decode_integers(self._stripes[number], contexts).reshape(-1, self._width)


def _choose(codes: Codes) -> tuple[Classes, float]:
    """The classes that make the first stripe smallest, and its bits with them."""
    none = Classes(_NO_CLASSES, _NO_CLASSES)
    rows, width = codes.shape
    if not codes.size:
        return none, 0.0
    first, last = stripes_of(rows, width)[0]
    sample = codes[first:last].reshape(-1)
    found: list[tuple[float, int, Classes]] = []
    for number, classes in enumerate((none, *_classes_of(codes))):
        side = sum(flat_bits(_steps(each)) for each in (classes.rows, classes.columns))
        bits = rough_bits(sample, classes.contexts(first, last, width))
        found.append((bits + side, number, classes))
    bits, _, classes = min(found, key=lambda one: one[:2])
    return classes, bits


def _classes_of(codes: Codes) -> Iterator[Classes]:
    """By column, by row and by both, an octave or half of one to a class."""
    magnitudes = np.minimum(np.abs(codes), _CAP).astype(np.float32)
    overall = float(magnitudes.mean()) + 0.5 / codes.size
    by_column = magnitudes.mean(axis=0, dtype=np.float64) + overall / 64
    by_row = magnitudes.mean(axis=1, dtype=np.float64) + overall / 64
    for per_octave in (1, 2):
        columns = np.rint(per_octave * np.log2(by_column)).astype(np.int32)
        rows = np.rint(per_octave * np.log2(by_row)).astype(np.int32)
        relative = np.rint(per_octave * np.log2(by_row / overall)).astype(np.int32)
        least = int(columns.min())
        yield Classes(_NO_CLASSES, columns - least)
        yield Classes(rows - int(rows.min()), _NO_CLASSES)
        yield Classes(relative - int(relative.min()), columns - least)


def _steps(classes: Codes) -> Codes:
    """A class and its neighbour differ by little."""
    return np.diff(classes, prepend=np.int32(0)).astype(np.int32)


def _encode_classes(classes: Codes) -> bytes:
    return encode_flat(_steps(classes)) if classes.size else b""


def _decode_classes(data: bytes, count: int, what: str) -> Codes:
    if not data:
        return _NO_CLASSES
    steps = decode_flat(data, count).astype(np.int64)
    classes = np.cumsum(steps)
    if classes.size and not 0 <= classes.min() <= classes.max() < CLASS_LIMIT:
        raise IntegrityError(f"{what} has a class outside 0..{CLASS_LIMIT - 1}")
    return classes.astype(np.int32)
