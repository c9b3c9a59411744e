"""What a pack decodes to, tensor by tensor: leaf, error and sketch."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np

from skillpm.delta.tensors.countsketch import BLOCK, Sketcher
from skillpm.delta.tensors.rounding import Floats, exact_values
from skillpm.delta.tensors.words import Words
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import LeafHasher
from skillpm.spec.overlap import BUCKETS


@dataclass(frozen=True)
class MeasuredTensor:
    """A tensor decoded from what was written: its leaf, ‖Δ-Δ̂‖², ‖Δ‖², the sketch of Δ̂ [256]."""

    leaf: Digest
    error: float
    norm: float
    sketch: np.ndarray[tuple[int], np.dtype[np.float64]]


def unmeasured(tensor: str) -> MeasuredTensor:
    """Return a placeholder that takes as many bytes in a manifest as a measured tensor."""
    leaf = Digest.of(f"unmeasured {tensor}".encode())
    return MeasuredTensor(leaf, 0.123456789012345678, 1.0, np.zeros(BUCKETS))


class TensorMeter:
    """Measures a decoded tensor, chunk by chunk in order. `additive`: it has a delta."""

    def __init__(self, spec: TensorSpec, *, additive: bool) -> None:
        self._dtype = spec.dtype
        self._hasher = LeafHasher(spec.dtype, spec.shape)
        self._sketcher = Sketcher(spec.name) if additive else None
        self._error = self._norm = 0.0

    def add(self, reference: Words, words: Words, tuned: Words) -> None:
        """Add the next chunk [n]: the reference's, the decoded and the tuned words."""
        self._hasher.update(words.data if words.flags.c_contiguous else words.tobytes())
        if self._sketcher is None:
            return
        exact = words is tuned or np.array_equal(words, tuned)
        for span in _spans(words.size):
            with np.errstate(invalid="ignore", over="ignore"):
                base = exact_values(reference[span], self._dtype)
                result = exact_values(words[span], self._dtype)
                delta = np.subtract(result, base, dtype=np.float64)
                if exact:
                    self._norm += self._sketched(delta)
                    continue
                self._sketched(delta)
                target = exact_values(tuned[span], self._dtype)
                self._norm += square(np.subtract(target, base, dtype=np.float64))
                self._error += square(np.subtract(target, result, dtype=np.float64))

    def _sketched(self, delta: Floats) -> float:
        """Add a delta [n] to the sketch; return the sum of squares of its finite values."""
        assert self._sketcher is not None  # noqa: S101 - for the type checker
        total = _sum_of_squares(delta)
        finite = isfinite(total)
        self._sketcher.add(delta, finite=finite)
        return total if finite else square(delta)

    def result(self) -> MeasuredTensor:
        """Return what was measured."""
        sketch = self._sketcher.buckets if self._sketcher else np.zeros(BUCKETS)
        return MeasuredTensor(self._hasher.digest(), self._error, self._norm, sketch)


def _spans(size: int) -> Iterator[slice]:
    """Yield spans of a block of the sketch, which fits a core's cache."""
    yield from (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def square(values: Floats) -> float:
    """Return the sum of squares [n] of the finite values."""
    total = _sum_of_squares(values)
    return total if isfinite(total) else float(np.sum(values * values, where=np.isfinite(values)))


def _sum_of_squares(values: Floats) -> float:
    """Return the sum of squares [n]: finite only if all values are."""
    return float(np.sum(values * values))
