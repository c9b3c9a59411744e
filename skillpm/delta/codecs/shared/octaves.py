"""Contexts from the exponent of an entry's reference and the class of its row and column."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.classes import Contexts
from skillpm.delta.coding.integers import CONTEXTS
from skillpm.delta.kernels import grid as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.words import Bytes
from skillpm.errors import IntegrityError

_SIZE = 3


@dataclass(frozen=True, slots=True)
class Octaves:
    """Combines exponents and classes to contexts.

    The octave of an entry is the number of exponents below `anchor`. In each octave, the classes
    from `floor` on have `cells` contexts. If there are to be at most `limit` contexts, there are
    limit / cells octaves; the last ones share theirs.
    """

    anchor: int
    floor: int
    cells: int

    def contexts(self, classes: Contexts, exponents: Bytes, limit: int = CONTEXTS) -> Contexts:
        """Return the contexts [n] of entries with these classes [n] and exponents [n]."""
        if compiled(classes.size):
            combined = classes.copy()
            kernels.octave_contexts(
                exponents, self.anchor, self.floor, self.cells, limit // self.cells, combined
            )
            return combined
        octaves = np.minimum(exponents, np.uint8(self.anchor))
        np.subtract(np.uint8(self.anchor), octaves, out=octaves)
        np.minimum(octaves, np.uint8(limit // self.cells - 1), out=octaves)
        octaves *= np.uint8(self.cells)
        cells = np.maximum(classes, np.uint8(self.floor))
        cells -= np.uint8(self.floor)
        octaves += np.minimum(cells, np.uint8(self.cells - 1), out=cells)
        return octaves

    def dump(self) -> bytes:
        """Return the three bytes that `load` reads."""
        return bytes([self.anchor, self.floor, self.cells])

    @classmethod
    def load(cls, data: bytes, what: str) -> Self | None:
        """Read octaves; None for no bytes. Raises `IntegrityError`."""
        if not data:
            return None
        if len(data) != _SIZE or not 1 <= data[2] <= CONTEXTS:
            raise IntegrityError(f"{what} has unknown contexts of exponents")
        return cls(*data)


def upper_end(values: npt.NDArray[np.uint8], one_in: int = 1000) -> int:
    """Return the value that one entry in a thousand exceeds, or one in another number."""
    counts = np.bincount(values, minlength=256)[::-1]
    return 255 - int(np.searchsorted(np.cumsum(counts), values.size // one_in + 1))
