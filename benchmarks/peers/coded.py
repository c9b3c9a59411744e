"""Magnitude pruning and DARE at their best: survivors as small integers, entropy-coded.

Plain pruning stores each survivor in float16 and its position in a byte. Here magnitude pruning is
a dead zone of its threshold T with steps of T: the codes of all weights, zeros too, are one stream
of the project's entropy coder, so that positions cost their entropy, and each of the first steps
has its own level, the mean of its values. DARE's survivors follow from the seed; their values have
steps of half their deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder, kept_places
from benchmarks.peers.fit import fit
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Encode, Peer
from benchmarks.peers.streams import (
    TRIES,
    Codes,
    Size,
    bits_of,
    entropy,
    fitted,
    put_codes,
    read_codes,
    rounded,
)
from skillpm.delta.coding.payload import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

CODED, DROPPED_CODED = "coded", "dropped-coded"
LARGEST = 127
"""Larger codes are cut; a code this large is 127 thresholds."""
PART = "codes"
LEVELS = 8
"""Codes that have their own level; a larger code c has c · T."""
DIGITS = 5
EMBEDDING_SHARE = 0.15
"""The share of a budget for embeddings and head, in peers whose papers leave these dense."""
_CUT = 12


def codes_of(delta: Floats, threshold: float) -> Codes:
    """0 below the threshold, else the rounded multiple of it with the value's sign."""
    sizes = np.minimum(np.rint(np.abs(delta) / threshold), LARGEST)
    sizes = np.where(np.abs(delta) < threshold, 0, np.maximum(sizes, 1))
    return np.asarray(np.copysign(sizes, delta), dtype=np.int32)


def levels_of(delta: Floats, codes: Codes) -> list[float]:
    """The mean |Δ| of the values with the codes 1 to `LEVELS`, in five digits; 0.0 if none has."""
    sizes = np.abs(codes)
    counts = np.bincount(sizes, minlength=LEVELS + 1)[1 : LEVELS + 1]
    sums = np.bincount(sizes, weights=np.abs(delta), minlength=LEVELS + 1)[1 : LEVELS + 1]
    means = np.divide(sums, counts, out=np.zeros(LEVELS), where=counts > 0)
    return [float(f"{mean:.{DIGITS}g}") for mean in means]


def encode_coded(
    spec: TensorSpec, delta: Floats, threshold: float, writer: PayloadWriter
) -> Record:
    """Write the codes of a flat delta."""
    codes = codes_of(delta, threshold)
    put_codes(writer, spec, PART, codes)
    record = Record(CODED, {"levels": levels_of(delta, codes), "step": threshold})
    writer.describe(spec.name, record)
    return record


def encode_dropped_coded(
    spec: TensorSpec, delta: Floats, keep: float, seed: int, writer: PayloadWriter
) -> Record:
    """Write the codes of the values that DARE keeps, each divided by `keep`."""
    step, codes = _survivors(spec, delta, keep, seed)
    put_codes(writer, spec, PART, codes)
    record = Record(DROPPED_CODED, {"keep": keep, "seed": seed, "step": step})
    writer.describe(spec.name, record)
    return record


def _survivors(spec: TensorSpec, delta: Floats, keep: float, seed: int) -> tuple[float, Codes]:
    values = delta[kept_places(spec, keep, seed)] / keep
    step = float(values.std()) / 2 if values.size else 0.0
    return step, rounded(values, step)


class Coded(WholeDecoder):
    """The inverse of `encode_coded`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        codes = read_codes(reader, spec, PART, spec.elements)
        return _values(codes, settings["levels"], settings["step"])


class DroppedCoded(WholeDecoder):
    """The inverse of `encode_dropped_coded`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        mask = kept_places(spec, settings["keep"], settings["seed"])
        delta = np.zeros(spec.elements)
        delta[mask] = read_codes(reader, spec, PART, int(mask.sum())) * settings["step"]
        return delta


DECODERS.update({CODED: Coded, DROPPED_CODED: DroppedCoded})


@dataclass(frozen=True)
class Magnitudes:
    """How often each |Δ| occurs in a tensor; values are cut to eleven bits of mantissa."""

    values: Floats
    counts: Floats

    @classmethod
    def of(cls, delta: Floats) -> Magnitudes:
        """Count the values of a flat delta."""
        words = np.abs(delta).astype(np.float32).view(np.uint32) >> np.uint32(_CUT)
        counts = np.bincount(words)
        used = np.flatnonzero(counts)
        values = (used.astype(np.uint32) << np.uint32(_CUT)).view(np.float32)
        return cls(values.astype(np.float64), counts[used].astype(np.float64))

    def bits(self, threshold: float) -> float:
        """Estimate the bits of the codes at a threshold: sizes by their entropy, and signs."""
        sizes = codes_of(self.values, threshold)
        counts = np.bincount(sizes, weights=self.counts)
        return entropy(counts) + float(counts[1:].sum())


def magnitude(task: Task, budget: Budget) -> Peer:
    """The lowest threshold over all matrices that fits."""
    known = [
        Magnitudes.of(task.deltas[n]) for n in (*task.named("linear"), *task.named("embedding"))
    ]
    largest = max(float(one.values.max()) for one in known)

    def bits(fineness: float) -> float:
        """The estimated bits at the threshold `largest / fineness`."""
        return sum(one.bits(largest / fineness) for one in known)

    def peer(fineness: float) -> Peer:
        threshold = largest / fineness

        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_coded(spec, delta, threshold, writer)

        settings = {"threshold": threshold}
        return Peer("magnitude-coded", task, encode, encode, settings)

    size: Size = lambda fineness: measured(task, peer(fineness))  # noqa: E731
    return peer(fitted(bits, size, budget, low=1.0, high=4096.0))


def dare(task: Task, budget: Budget) -> Peer:
    """The lowest drop rate that fits, with the task's seed."""
    names = [*task.named("linear"), *task.named("embedding")]
    specs = task.before.specs

    def bits(keep: float) -> float:
        found = (_survivors(specs[n], task.deltas[n], keep, task.seed)[1] for n in names)
        return sum(map(bits_of, found))

    def peer(keep: float) -> Peer:
        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_dropped_coded(spec, delta, keep, task.seed, writer)

        return Peer("dare-coded", task, encode, encode, {"drop": 1 - keep})

    size: Size = lambda keep: measured(task, peer(keep))  # noqa: E731
    return peer(fitted(bits, size, budget, low=1e-4, high=1.0))


def embedding_threshold(task: Task, size: float) -> float:
    """The lowest threshold at which the embeddings and the head take at most `size` bytes.

    For peers whose papers leave these tensors dense: a dense embedding alone exceeds most budgets.
    """
    known = [Magnitudes.of(task.deltas[name]) for name in task.named("embedding")]
    if not known:
        return 1.0
    largest = max(float(one.values.max()) for one in known)

    def taken(fineness: float) -> float:
        return sum(one.bits(largest / fineness) for one in known) / 8

    return largest / fit(taken, size, low=1.0, high=4096.0, tries=TRIES)


def embedding(task: Task, size: float) -> Encode:
    """Code the embeddings and the head in `size` bytes."""
    threshold = embedding_threshold(task, size)

    def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        return encode_coded(spec, delta, threshold, writer)

    return encode


def decoded(delta: Floats, threshold: float) -> Floats:
    """A flat delta as the decoder computes it."""
    codes = codes_of(delta, threshold)
    return _values(codes, levels_of(delta, codes), threshold)


def _values(codes: Codes, levels: list[float], step: float) -> Floats:
    sizes = np.arange(LARGEST + 1) * step
    sizes[1 : LEVELS + 1] = levels
    return np.asarray(np.sign(codes) * sizes[np.abs(codes)])
