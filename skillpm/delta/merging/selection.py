"""Exact order statistics of streams of numbers, in bounded memory.

A float64 and its key, an unsigned integer, have the same order. A rank is found from the top digits
of the keys down: a pass counts the elements of each digit, and the next one looks only at those
with the right digits. When few are left, a pass collects them.

Law 3: a selection is exact, and ties are broken by position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from skillpm.delta.merging.vectors import Mask, Stream
from skillpm.delta.tensors.rounding import Floats

_Keys = npt.NDArray[np.uint64]
_TOP = np.uint64(1 << 63)
_KEY = 64
_DIGIT = 20
"""Bits of a digit: the first has sign, exponent and eight bits of the mantissa."""
_COLLECTED = 1 << 21
"""The most elements that are collected for a rank."""


@dataclass(frozen=True)
class Ranked:
    """The element at a rank, and the number of elements that are greater."""

    value: float
    greater: int


def ranked(stream: Stream, size: int, ranks: Sequence[Sequence[int]]) -> list[list[Ranked]]:
    """Return the elements at some ranks of each stream of `size` finite numbers.

    A rank is a position in sorted order, from 0. Costs one pass if the size is at most
    `_COLLECTED`, mostly two or three otherwise, and at most five. Holds `_COLLECTED` elements and 8
    MB for each rank.
    """
    found = [[_Search(size, rank) for rank in stream_ranks] for stream_ranks in ranks]
    while any(search.value is None for searches in found for search in searches):
        for blocks in stream():
            for block, searches in zip(blocks, found, strict=True):
                if searches:
                    keys = _keys(block)
                    for search in searches:
                        search.look(keys)
        for searches in found:
            for search in searches:
                search.narrow()
    return [[search.result for search in searches] for searches in found]


@dataclass
class _Search:
    """The search for one rank: the elements that may have it, `count` of them, have these digits.

    `known` is the number of known bits, and `digits` their value. `rank` counts within the
    elements that may have it, and `greater` those above all of them.
    """

    count: int
    rank: int
    digits: int = 0
    known: int = 0
    greater: int = 0
    value: float | None = None
    _collected: list[_Keys] = field(default_factory=list)
    _counts: npt.NDArray[np.int64] | None = None

    @property
    def result(self) -> Ranked:
        """The element at the rank."""
        assert self.value is not None  # noqa: S101 - asked for at the end of the search
        return Ranked(self.value, self.greater)

    @property
    def _bits(self) -> int:
        """The bits of the next digit."""
        return min(_DIGIT, _KEY - self.known)

    def look(self, keys: _Keys) -> None:
        """Count or collect the keys [n] that may have the rank."""
        if self.value is not None:
            return
        if self.known:
            keys = keys[keys >> np.uint64(_KEY - self.known) == np.uint64(self.digits)]
        if self.count <= _COLLECTED:
            self._collected.append(keys)
            return
        bits = self._bits
        digits = keys >> np.uint64(_KEY - self.known - bits) & np.uint64((1 << bits) - 1)
        counts = np.bincount(digits.astype(np.int64), minlength=1 << bits)
        self._counts = counts if self._counts is None else self._counts + counts

    def narrow(self) -> None:
        """Draw the conclusion from a pass."""
        if self.value is not None:
            return
        if self._counts is None:
            self._finish(np.concatenate(self._collected))
            return
        upto = np.cumsum(self._counts)
        digit = int(np.searchsorted(upto, self.rank, side="right"))
        below = int(upto[digit]) - int(self._counts[digit])
        bits = self._bits
        self.greater += self.count - int(upto[digit])
        self.rank -= below
        self.count = int(self._counts[digit])
        self.digits, self.known = self.digits << bits | digit, self.known + bits
        self._counts = None
        if self.known == _KEY:  # all of them are equal
            self.value = _value(self.digits)

    def _finish(self, keys: _Keys) -> None:
        key = np.partition(keys, self.rank)[self.rank]
        self.greater += int(np.count_nonzero(keys > key))
        self.value = _value(int(key))
        self._collected = []


def _keys(values: Floats) -> _Keys:
    """Return unsigned integers [n] in the order of finite numbers [n]; both zeros are equal."""
    bits = (values + 0.0).view(np.uint64)
    signs = (bits.view(np.int64) >> np.int64(_KEY - 1)).view(np.uint64)
    return bits ^ (signs | _TOP)


def _value(key: int) -> float:
    bits = np.uint64(key)
    bits ^= _TOP if bits & _TOP else ~np.uint64(0)
    return float(bits.view(np.float64))


class Largest:
    """Takes the `count` largest of a stream, block by block; of equal elements, the first.

    `edge` is the smallest element taken, at rank size - `count`; None if all are taken.
    """

    def __init__(self, count: int, edge: Ranked | None) -> None:
        self._edge = edge
        self._ties = 0 if edge is None else count - edge.greater

    def mask(self, values: Floats) -> Mask:
        """Return the mask [n] of the elements taken of the next block [n]."""
        if self._edge is None:
            return np.ones(values.shape, dtype=np.bool_)
        mask = values > self._edge.value
        ties = np.flatnonzero(values == self._edge.value)[: self._ties]
        mask[ties] = True
        self._ties -= ties.size
        return mask


def edges(stream: Stream, size: int, counts: Sequence[int]) -> list[Ranked | None]:
    """Return the smallest of the `counts` largest elements of each stream; None for all of them.

    Costs the passes of `ranked`, and none if no stream has an edge.
    """
    ranks = [[] if count >= size else [size - count] for count in counts]
    if not any(ranks):
        return [None for _ in counts]
    found = ranked(stream, size, ranks)
    return [stream_found[0] if stream_found else None for stream_found in found]
