"""Magnitude pruning at its best: survivors as small integers, entropy-coded.

Plain pruning stores each survivor in float16 and its position in a byte. Here the codes of all
weights, zeros too, are one stream of the project's entropy coder, so that positions cost their
entropy. Codes are multiples of the threshold T, and each of the first codes has its own level, the
mean of its values. On the lattice of bf16 many deltas are equal: of those equal to T, as many are
kept as the budget allows, at random.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder
from benchmarks.peers.fit import fit
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Encode, Peer
from benchmarks.peers.streams import (
    TRIES,
    Codes,
    Size,
    entropy,
    fitted,
    put_codes,
    read_codes,
)
from skillpm.delta.coding.payload import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

CODED = "coded"
LARGEST = 127
"""Larger codes are cut; a code this large is 127 thresholds."""
PART = "codes"
LEVELS = 8
"""Codes that have their own level; a larger code c has c · T."""
DIGITS = 5
EMBEDDING_SHARE = 0.15
"""The share of a budget for embeddings and head, in peers whose papers leave these dense."""
LEAST = 1e-6
"""The smallest share of the changed weights that a search tries."""
_CUT = 12
_BINS = np.uint32(_CUT)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Deltas above `value` are kept, and the share `ties` of those equal to it in eleven bits."""

    value: float
    ties: float


def _bins(delta: Floats) -> npt.NDArray[np.uint32]:
    """|Δ| with eleven bits of mantissa, as integers of the same order."""
    return np.abs(delta).astype(np.float32).view(np.uint32) >> _BINS


@dataclass(frozen=True)
class Magnitudes:
    """How often each |Δ| above 0 occurs, rising, and the number of zeros."""

    values: Floats
    counts: Floats
    zeros: float

    @classmethod
    def of(cls, delta: Floats) -> Magnitudes:
        """Count the values of a flat delta."""
        counts = np.bincount(_bins(delta), minlength=1)
        used = np.flatnonzero(counts[1:]) + 1
        values = (used.astype(np.uint32) << _BINS).view(np.float32).astype(np.float64)
        return cls(values, counts[used].astype(np.float64), float(counts[0]))

    def bits(self, threshold: Threshold) -> float:
        """Estimate the bits of the codes at a threshold: sizes by their entropy, and signs."""
        kept = self.counts * np.where(self.values == threshold.value, threshold.ties, 1.0)
        kept[self.values < threshold.value] = 0
        sizes = np.minimum(np.rint(self.values / threshold.value), LARGEST).astype(np.int64)
        counts = np.bincount(sizes, weights=kept, minlength=1)
        counts[0] = self.zeros + self.counts.sum() - kept.sum()
        return entropy(counts) + float(kept.sum())


def threshold_at(known: Iterable[Magnitudes], share: float) -> Threshold:
    """The threshold that keeps a share of the changed weights of all tensors."""
    every = list(known)
    values, places = np.unique(np.concatenate([one.values for one in every]), return_inverse=True)
    counts = np.bincount(places, weights=np.concatenate([one.counts for one in every]))
    above = counts[::-1].cumsum()[::-1] - counts  # kept if the value is the threshold, without ties
    wanted = share * counts.sum()
    place = int(np.flatnonzero(above <= wanted)[0])
    return Threshold(float(values[place]), min(1.0, float((wanted - above[place]) / counts[place])))


def codes_of(delta: Floats, threshold: Threshold, name: str) -> Codes:
    """0 below the threshold, else the rounded multiple of it with the value's sign."""
    found = _bins(delta)
    limit = _bins(np.array([threshold.value]))[0]
    ties = np.flatnonzero(found == limit)
    sizes = np.minimum(np.rint(np.abs(delta) / threshold.value), LARGEST).astype(np.int32)
    sizes[found < limit] = 0
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    sizes[ties[random.random(ties.size) >= threshold.ties]] = 0
    return np.asarray(np.where(delta < 0, -sizes, sizes), dtype=np.int32)


def levels_of(delta: Floats, codes: Codes) -> list[float]:
    """The mean |Δ| of the values with the codes 1 to `LEVELS`, in five digits; 0.0 if none has."""
    sizes = np.abs(codes)
    counts = np.bincount(sizes, minlength=LEVELS + 1)[1 : LEVELS + 1]
    sums = np.bincount(sizes, weights=np.abs(delta), minlength=LEVELS + 1)[1 : LEVELS + 1]
    means = np.divide(sums, counts, out=np.zeros(LEVELS), where=counts > 0)
    return [float(f"{mean:.{DIGITS}g}") for mean in means]


def encode_coded(
    spec: TensorSpec, delta: Floats, threshold: Threshold, writer: PayloadWriter
) -> Record:
    """Write the codes of a flat delta."""
    codes = codes_of(delta, threshold, spec.name)
    put_codes(writer, spec, PART, codes)
    record = Record(CODED, {"levels": levels_of(delta, codes), "step": threshold.value})
    writer.describe(spec.name, record)
    return record


def decoded(delta: Floats, threshold: Threshold, name: str) -> Floats:
    """A flat delta as the decoder computes it."""
    codes = codes_of(delta, threshold, name)
    return _values(codes, levels_of(delta, codes), threshold.value)


def _values(codes: Codes, levels: list[float], step: float) -> Floats:
    sizes = np.arange(LARGEST + 1) * step
    sizes[1 : LEVELS + 1] = levels
    return np.asarray(np.sign(codes) * sizes[np.abs(codes)])


class Coded(WholeDecoder):
    """The inverse of `encode_coded`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        codes = read_codes(reader, spec, PART, spec.elements)
        return _values(codes, settings["levels"], settings["step"])


DECODERS[CODED] = Coded


def magnitude(task: Task, budget: Budget) -> Peer:
    """The largest share of all matrices' changed weights that fits, with one threshold."""
    names = [*task.named("linear"), *task.named("embedding")]
    known = [Magnitudes.of(task.deltas[name]) for name in names]

    def bits(share: float) -> float:
        threshold = threshold_at(known, share)
        return sum(one.bits(threshold) for one in known)

    def peer(share: float) -> Peer:
        threshold = threshold_at(known, share)

        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_coded(spec, delta, threshold, writer)

        settings = {"threshold": threshold.value, "ties": threshold.ties}
        return Peer("magnitude-coded", task, encode, encode, settings)

    size: Size = lambda share: measured(task, peer(share))  # noqa: E731
    return peer(fitted(bits, size, budget, low=LEAST, high=1.0))


def embedding_threshold(task: Task, size: float) -> Threshold:
    """The threshold at which the embeddings and the head take at most `size` bytes.

    For peers whose papers leave these tensors dense: a dense embedding alone exceeds most budgets.
    """
    known = [Magnitudes.of(task.deltas[name]) for name in task.named("embedding")]
    if not known:
        return Threshold(1.0, 1.0)

    def taken(share: float) -> float:
        threshold = threshold_at(known, share)
        return sum(one.bits(threshold) for one in known) / 8

    return threshold_at(known, fit(taken, size, low=LEAST, high=1.0, tries=TRIES))


def embedding(task: Task, size: float) -> Encode:
    """Code the embeddings and the head in `size` bytes."""
    threshold = embedding_threshold(task, size)

    def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        return encode_coded(spec, delta, threshold, writer)

    return encode
