"""Magnitude pruning and DARE at their best: survivors as small integers, entropy-coded.

Plain pruning stores each survivor in float16 and its position in a byte. Here magnitude pruning is
a dead zone of its threshold T with steps of T: the codes of all weights, zeros too, are one stream
of the project's entropy coder, so that positions cost their entropy, and each of the first steps
has its own level, the mean of its values. DARE's survivors follow from the seed; their values have
steps of half their deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.codecs import DECODERS, WholeDecoder, kept_places
from benchmarks.peers.fit import fit
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from skillpm.delta.coding.integers import decode_integers, encode_integers, integer_bits
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
TRIES, FILES = 8, 4
"""Estimates of one search, and files that are written to correct it."""
Codes = npt.NDArray[np.int32]
Size = Callable[[float], float]


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
    writer.put_plain(spec.name, PART, encode_integers(codes, _no_context(codes)))
    record = Record(CODED, {"levels": levels_of(delta, codes), "step": threshold})
    writer.describe(spec.name, record)
    return record


def encode_dropped_coded(
    spec: TensorSpec, delta: Floats, keep: float, seed: int, writer: PayloadWriter
) -> Record:
    """Write the codes of the values that DARE keeps, each divided by `keep`."""
    step, codes = _survivors(spec, delta, keep, seed)
    writer.put_plain(spec.name, PART, encode_integers(codes, _no_context(codes)))
    record = Record(DROPPED_CODED, {"keep": keep, "seed": seed, "step": step})
    writer.describe(spec.name, record)
    return record


def _survivors(spec: TensorSpec, delta: Floats, keep: float, seed: int) -> tuple[float, Codes]:
    values = delta[kept_places(spec, keep, seed)] / keep
    step = float(values.std()) / 2 if values.size else 0.0
    codes = np.rint(np.divide(values, step, out=np.zeros(values.size), where=step > 0))
    return step, codes.astype(np.int32)


def _no_context(codes: Codes) -> npt.NDArray[np.uint8]:
    return np.zeros(codes.size, dtype=np.uint8)


class Coded(WholeDecoder):
    """The inverse of `encode_coded`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        codes = _read(reader, spec, spec.elements)
        levels = np.arange(LARGEST + 1) * settings["step"]
        levels[1 : LEVELS + 1] = settings["levels"]
        return np.asarray(np.sign(codes) * levels[np.abs(codes)])


class DroppedCoded(WholeDecoder):
    """The inverse of `encode_dropped_coded`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        mask = kept_places(spec, settings["keep"], settings["seed"])
        delta = np.zeros(spec.elements)
        delta[mask] = _read(reader, spec, int(mask.sum())) * settings["step"]
        return delta


def _read(reader: PayloadReader, spec: TensorSpec, count: int) -> Codes:
    data = reader.plain(spec.name, PART, limit=16 * count + 4096)
    return decode_integers(data, np.zeros(count, dtype=np.uint8))


DECODERS.update({CODED: Coded, DROPPED_CODED: DroppedCoded})


def magnitude(task: Task, budget: Budget) -> Peer:
    """The lowest threshold over all matrices that fits."""
    names = [*task.named("linear"), *task.named("embedding")]
    largest = max(float(np.abs(task.deltas[name]).max()) for name in names)

    def bits(fineness: float) -> float:
        """The estimated bits at the threshold `largest / fineness`."""
        found = (codes_of(task.deltas[name], largest / fineness) for name in names)
        return sum(integer_bits(codes, _no_context(codes)) for codes in found)

    def peer(fineness: float) -> Peer:
        threshold = largest / fineness

        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_coded(spec, delta, threshold, writer)

        settings = {"threshold": threshold}
        return Peer("magnitude-coded", task, encode, encode, settings)

    size: Size = lambda fineness: measured(task, peer(fineness))  # noqa: E731
    return peer(_fitted(bits, size, budget, low=1.0, high=4096.0))


def dare(task: Task, budget: Budget) -> Peer:
    """The lowest drop rate that fits, with the task's seed."""
    names = [*task.named("linear"), *task.named("embedding")]
    specs = task.before.specs

    def bits(keep: float) -> float:
        found = (_survivors(specs[n], task.deltas[n], keep, task.seed)[1] for n in names)
        return sum(integer_bits(codes, _no_context(codes)) for codes in found)

    def peer(keep: float) -> Peer:
        def encode(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
            return encode_dropped_coded(spec, delta, keep, task.seed, writer)

        return Peer("dare-coded", task, encode, encode, {"drop": 1 - keep})

    size: Size = lambda keep: measured(task, peer(keep))  # noqa: E731
    return peer(_fitted(bits, size, budget, low=1e-4, high=1.0))


def _fitted(bits: Size, size: Size, budget: Budget, *, low: float, high: float) -> float:
    """The largest setting whose file fits: searched by estimates, corrected by files.

    Raises `ValueError` if no setting fits.
    """
    aim = float(budget)
    for _ in range(FILES):
        setting = fit(lambda at: bits(at) / 8, aim, low=low, high=high, tries=TRIES)
        excess = size(setting) - budget
        if excess <= 0:
            return setting
        aim -= 1.02 * excess
    message = f"no file of at most {budget} bytes was found"
    raise ValueError(message)
