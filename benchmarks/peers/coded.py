"""DARE at its best: survivors as small integers, entropy-coded.

Which weights survive follows from the seed; their values have steps of half their deviation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.codecs import DECODERS, WholeDecoder, kept_places
from benchmarks.peers.recipe import measured
from benchmarks.peers.scheme import Peer
from benchmarks.peers.streams import (
    Codes,
    Size,
    bits_of,
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

DROPPED_CODED = "dropped-coded"
PART = "codes"


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


class DroppedCoded(WholeDecoder):
    """The inverse of `encode_dropped_coded`."""

    def _decode(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> Floats:
        mask = kept_places(spec, settings["keep"], settings["seed"])
        delta = np.zeros(spec.elements)
        delta[mask] = read_codes(reader, spec, PART, int(mask.sum())) * settings["step"]
        return delta


DECODERS[DROPPED_CODED] = DroppedCoded


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
