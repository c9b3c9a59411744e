"""What a pack decodes to, tensor by tensor: leaf, error and sketch."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np

from skillpm.delta.tensors.countsketch import BLOCK, Sketcher
from skillpm.delta.tensors.rounding import Floats, to_float64
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
                base = to_float64(reference[span], self._dtype)
                result = to_float64(words[span], self._dtype)
                delta = result - base
                self._sketcher.add(delta)
                if exact:
                    self._norm += square(delta)
                    continue
                target = to_float64(tuned[span], self._dtype)
                self._norm += square(target - base)
                self._error += square(target - result)

    def result(self) -> MeasuredTensor:
        """Return what was measured."""
        sketch = self._sketcher.buckets if self._sketcher else np.zeros(BUCKETS)
        return MeasuredTensor(self._hasher.digest(), self._error, self._norm, sketch)


def _spans(size: int) -> Iterator[slice]:
    """Yield spans of a block of the sketch, which fits a core's cache."""
    yield from (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def square(values: Floats) -> float:
    """Return the sum of squares [n] of the finite values."""
    total = float(np.sum(values * values))
    return total if isfinite(total) else float(np.sum(values * values, where=np.isfinite(values)))
