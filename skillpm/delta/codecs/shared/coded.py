"""Integer matrices as entropy-coded stripes, and the sections of a tensor's only part.

A coded matrix is the classes of its rows and columns (`classes`; empty if they would cost more than
they save), then a stream of `coding.integers` for every `STRIPE` entries. Each stripe has its own
frequency tables and is decoded independently, so memory does not depend on the size of the tensor.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from skillpm.delta.codecs.shared.classes import (
    NONE,
    Classes,
    Codes,
    Narrow,
    choose_classes,
    encode_classes,
)
from skillpm.delta.coding.integers import decode_integers, encode_integers
from skillpm.delta.coding.varint import read_varint, varint
from skillpm.errors import IntegrityError

STRIPE = 1 << 22
"""Entries in a stripe: four chunks of a tensor."""
CLASS_LIMIT = 1 << 10
"""Classes are below this."""


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Prepend the tensor's name to the message of an `IntegrityError`."""
    try:
        yield
    except IntegrityError as problem:
        raise IntegrityError(f"{what}: {problem.message}") from problem


class Sections:
    """Reads consecutive byte strings, each preceded by its length (a varint)."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._end = 0

    def next(self) -> bytes:
        """Return the next section. Raises `IntegrityError` if there is none."""
        with naming(self._what):
            size, start = read_varint(self._data, self._end)
        if size > len(self._data) - start:
            raise IntegrityError(f"{self._what} has a truncated section")
        self._end = start + size
        return self._data[start : self._end]

    def close(self) -> None:
        """Raise `IntegrityError` if bytes are left."""
        if self._end != len(self._data):
            raise IntegrityError(f"{self._what} has extra bytes after its last section")


def join(sections: list[bytes]) -> bytes:
    """Join sections in the form that `Sections` reads."""
    return b"".join(varint(len(section)) + section for section in sections)


def encode_flat(values: Codes) -> bytes:
    """Encode a short list of integers [n] under one context."""
    return encode_integers(values, np.zeros(values.size, dtype=np.uint8))


def decode_flat(data: bytes, count: int, what: str) -> Codes:
    """Decode what `encode_flat` wrote. Raises `IntegrityError`."""
    with naming(what):
        return decode_integers(data, np.zeros(count, dtype=np.uint8))


def narrow(codes: Narrow) -> Narrow:
    """Return the integers as int8 if all of them fit, else unchanged."""
    small = np.iinfo(np.int8)
    fits = small.min <= codes.min(initial=0) and codes.max(initial=0) <= small.max
    return codes.astype(np.int8) if fits else codes


def _stripes(size: int) -> list[tuple[int, int]]:
    return [(start, min(start + STRIPE, size)) for start in range(0, size, STRIPE)]


def encode_matrix(codes: Narrow) -> bytes:
    """Encode a matrix [rows, width] of small integers, int8 or int32."""
    classes, flat = choose_classes(codes), codes.reshape(-1)
    sections = [encode_classes(classes.rows), encode_classes(classes.columns)]
    for start, stop in _stripes(codes.size):
        contexts = classes.contexts(start, stop, codes.shape[1])
        sections.append(encode_integers(flat[start:stop].astype(np.int32, copy=False), contexts))
    return join(sections)


class Matrix:
    """A coded matrix, decoded stripe by stripe. Raises `IntegrityError` if it is damaged.

    Memory, without the coded bytes: the last stripe read (1 or 4 bytes per entry), and at most
    about 26 bytes per entry of a stripe while it is decoded.
    """

    def __init__(self, data: bytes, rows: int, width: int, what: str) -> None:
        self._shape = (rows, width)
        self._what = what
        sections = Sections(data, what)
        by_row = _decode_classes(sections.next(), rows, what)
        self._classes = Classes(by_row, _decode_classes(sections.next(), width, what))
        self._stripes = [sections.next() for _ in _stripes(rows * width)]
        sections.close()
        self._held: tuple[int, Narrow] = (-1, NONE)

    def whole(self) -> Narrow:
        """Return the whole matrix [rows, width]."""
        return self.flat(0, self._shape[0] * self._shape[1]).reshape(self._shape)

    def flat(self, start: int, stop: int) -> Narrow:
        """Return the entries start..stop of the flattened matrix; keeps the last stripe decoded."""
        pieces: list[Narrow] = []
        for number in range(start // STRIPE, -(-stop // STRIPE)):
            if self._held[0] != number:
                self._held = (number, self._stripe(number))
            offset = number * STRIPE
            pieces.append(self._held[1][max(start - offset, 0) : stop - offset])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _stripe(self, number: int) -> Narrow:
        height, width = self._shape
        start = number * STRIPE
        contexts = self._classes.contexts(start, min(start + STRIPE, height * width), width)
        with naming(self._what):
            codes = decode_integers(self._stripes[number], contexts)
        return narrow(codes)


def _decode_classes(data: bytes, count: int, what: str) -> Codes:
    if not data:
        return NONE
    classes = np.cumsum(decode_flat(data, count, what), dtype=np.int64)
    if classes.size and not 0 <= classes.min() <= classes.max() < CLASS_LIMIT:
        raise IntegrityError(f"{what} has a class outside 0..{CLASS_LIMIT - 1}")
    return classes.astype(np.int32)
