"""A sample of the rows of a matrix, stratified by their magnitudes.

Rows of a delta differ by orders of magnitude: most tokens of an embedding do not change at all. So
rows are classed by octaves of their mean magnitude, and large classes are sampled (Neyman 1934:
the number of rows of a class is in proportion to its size times its spread).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.estimate import steps_bits
from skillpm.delta.tensors.rounding import Floats

Places = npt.NDArray[np.intp]
Classes = npt.NDArray[np.int32]
_LOWEST, _HIGHEST = 6, 5
"""Classes are octaves from 2^-6 to 2^5 of the mean over all rows."""
CLASSES = _LOWEST + _HIGHEST + 1
_LEAST = 4
"""The least number of rows of a class that are sampled, if it has as many."""


@dataclass(frozen=True)
class Strata:
    """Sampled `rows` [k], ascending, the class of each [k], and the bits of the classes of all.

    `weights` [CLASSES] is the number of rows of a class for each of its sampled rows.
    """

    rows: Places
    classes: Classes
    weights: Floats
    class_bits: float

    @property
    def row_weights(self) -> Floats:
        """The number of rows that each sampled row stands for, [k]."""
        return self.weights[self.classes]


def classes_of(magnitudes: Floats) -> Classes:
    """Return the class of each row or column [m], from its mean magnitude [m]."""
    overall = float(magnitudes.mean()) or 1.0
    octaves = np.rint(np.log2(magnitudes / overall + 2.0**-_LOWEST))
    classes: Classes = np.clip(octaves + _LOWEST, 0, CLASSES - 1).astype(np.int32)
    return classes


def stratify(magnitudes: Floats, quota: int) -> Strata:
    """Sample about `quota` rows, given the mean magnitude of each row [m]."""
    classes = classes_of(magnitudes)
    counts = np.bincount(classes, minlength=CLASSES)
    spread = np.bincount(classes, weights=magnitudes, minlength=CLASSES)
    floor = np.minimum(counts, _LEAST)
    wanted = floor + np.floor(quota * spread / (spread.sum() or 1.0)).astype(np.intp)
    picked = [
        _spread_over(np.flatnonzero(classes == number), int(wanted[number]))
        for number in np.flatnonzero(counts)
    ]
    rows = np.sort(np.concatenate(picked))
    taken = np.bincount(classes[rows], minlength=CLASSES)
    return Strata(rows, classes[rows], counts / np.maximum(taken, 1), steps_bits(classes))


def _spread_over(places: Places, count: int) -> Places:
    """Return at most `count` of the places, at regular distances."""
    if count >= places.size:
        return places
    return places[(np.arange(count) * places.size + places.size // 2) // count]
