"""Signs of differences that rows and columns of a matrix have in common.

The first steps of a fine-tune move a matrix along few directions. The sign of a difference is then
often the product of a sign of its row and a sign of its column: in an embedding, all tokens that
the text lacks move the same way. A difference is flipped where that product is negative, so one
sign becomes rarer, and an entropy coder benefits. One bit per row and per column is stored.

A flip negates a zigzag-folded difference. Zero and the most negative difference, which have no
negation, stay as they are, so a flip is its own inverse.
"""

from dataclasses import dataclass
from math import log2, prod
from typing import Self

import numpy as np

from skillpm.delta.tensors.words import Bytes, Words
from skillpm.spec.dtypes import TensorSpec

_ROUNDS = 6
_FEWEST = 1 << 10
"""The fewest changed words of a chunk for which signs are searched."""


@dataclass(frozen=True)
class SignGrid:
    """The rows and columns that a chunk of a tensor touches; the chunk starts at `offset`."""

    rows: int
    columns: int
    offset: int
    size: int

    @classmethod
    def of(cls, spec: TensorSpec, start: int, size: int) -> Self | None:
        """Return the grid of a chunk [size]; None for vectors, and where columns are too many."""
        columns = prod(spec.shape[1:])
        if len(spec.shape) < 2 or not 1 < columns <= size // 4:  # noqa: PLR2004 - a matrix has two
            return None
        first, last = start // columns, -(-(start + size) // columns)
        return cls(last - first, columns, start - first * columns, size)

    @property
    def nbytes(self) -> int:
        """The bytes of the signs."""
        return -(-(self.rows + self.columns) // 8)

    def flip(self, folded: Words, signs: Bytes) -> Words:
        """Negate the zigzag differences [n] whose row and column have different signs [nbytes]."""
        bits = np.unpackbits(signs, count=self.rows + self.columns)
        grid = bits[: self.rows, None] ^ bits[self.rows :]
        flips = grid.reshape(-1)[self.offset : self.offset + self.size].astype(folded.dtype)
        one = folded.dtype.type(1)
        flips &= (folded + one) > one  # neither 0 nor the largest word
        flipped: Words = ((folded - flips) ^ flips) + flips
        return flipped

    def find(self, folded: Words) -> Bytes | None:
        """Return the signs [nbytes] for zigzag differences [n]; None if they save no bytes.

        Alternates between rows and columns. Sums are of small integers, so float32 is exact.
        """
        odd = (folded & folded.dtype.type(1)).astype(np.int8)
        moves = np.zeros(self.rows * self.columns, dtype=np.float32)
        moves[self.offset : self.offset + self.size] = (folded != 0) * (1 - 2 * odd)
        changed = int(np.count_nonzero(moves))
        if changed < _FEWEST:
            return None
        matrix = moves.reshape(self.rows, self.columns)
        rows = np.ones(self.rows, dtype=np.float32)
        columns = rows
        for _ in range(_ROUNDS):
            columns = _signs(rows @ matrix)
            rows = _signs(matrix @ columns)
        agreed = (changed + int(np.abs(matrix @ columns).sum(dtype=np.float64))) // 2
        if changed * (1 - _entropy(agreed / changed)) < 1.1 * (self.rows + self.columns):
            return None
        return np.packbits(np.concatenate([rows, columns]) < 0)


def _signs(
    sums: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.where(sums < 0, np.float32(-1), np.float32(1))


def _entropy(share: float) -> float:
    """Return the bits of a sign that is positive with this probability."""
    if not 0 < share < 1:
        return 0.0
    return -share * log2(share) - (1 - share) * log2(1 - share)
