"""The scheme `auto`: survey all tensors, allocate, then encode what was chosen."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

import numpy as np
import torch

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.candidates import (
    RECORD_BYTES,
    CandidatePoint,
    Candidates,
    EncodingChoice,
    write,
)
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.striped import code_large, delta_of, is_large, sampled
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.encode.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import is_float

PER_OCTAVE = 2
"""Steps of the survey in an octave."""
_LOST = 0.3
"""Entries that spread over less than so many steps round to zero."""
_FINEST = 2.0**-22
"""Of the step that leaves next to nothing: a finer one costs more than no error at all."""
HELD_BYTES = 1 << 29
"""Decompositions that are kept in memory between survey and encoding."""
Delta = Callable[[], Floats | None]
"""Reads a tensor's delta [m, n], of a large one some rows; None where it is not finite."""


def encodable(pair: Pair) -> bool:
    """Whether a tensor has a delta that may be rounded; all others are carried exactly."""
    spec = pair.tuned
    return pair.change == "changed" and spec is not None and is_float(spec.dtype)


@dataclass
class CandidateCache:
    """Makes candidates of tensors, and holds the last ones while they fit in memory."""

    weighting: Weighting
    _held: "OrderedDict[str, tuple[int, Candidates]]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def candidates(self, pair: Pair, delta: Delta) -> Candidates | None:
        """The candidates of a tensor; None where it can only be carried exactly."""
        with self._lock:
            if pair.tensor in self._held:
                self._held.move_to_end(pair.tensor)
                return self._held[pair.tensor][1]
        found = self._make(pair, delta)
        if found is not None:
            size = 4 * sum(side * side for side in found.delta.shape) + 16 * found.delta.numel()
            with self._lock:
                self._held[pair.tensor] = (size, found)
                while sum(one for one, _ in self._held.values()) > HELD_BYTES:
                    self._held.popitem(last=False)
        return found

    def _make(self, pair: Pair, delta: Delta) -> Candidates | None:
        spec, rows = pair.tuned, delta()
        if spec is None or rows is None or not rows.any():
            return None
        largest = float(np.abs(rows).max())
        if not 2.0**-60 < largest < 2.0**60:  # float32 squares it
            return None
        metric = self.weighting.metric(pair.tensor, rows_of(spec))
        return (sampled if is_large(spec) else Candidates)(spec, rows, metric)


def exact_point(pair: Pair, chunks: Iterable[Chunk]) -> CandidatePoint:
    """What a tensor costs without any error. Encodes it to a scratch file."""
    with TemporaryFile() as spool:
        Lossless().encode(pair, chunks, PayloadWriter(spool))
        return CandidatePoint(EncodingChoice("lossless"), spool.tell() + RECORD_BYTES, 0.0)


def survey(candidates: Candidates, rung: int) -> list[CandidatePoint]:
    """The points of one tensor at the step 2^(rung / PER_OCTAVE), where that makes sense."""
    step, top = 2.0 ** (rung / PER_OCTAVE), candidates.top()
    return list(candidates.points(step)) if _FINEST * top <= step <= top else []


def predicted_bytes(sigma: torch.Tensor, shape: tuple[int, int], step: float) -> float:
    """About what singular factors would cost at a step, from the singular values alone."""
    bits = 0.0
    for length in shape:
        spread = sigma / (step * length**0.5)  # of the factor's entries, in steps
        coded = spread[spread > _LOST]
        bits += length * float((0.5 * (1 + 17 * coded.square()).log2()).sum())
    return bits / 8


def predicted_distortion(sigma: torch.Tensor, shape: tuple[int, int], step: float) -> float:
    """About how much they would err: what is cut off, and what is rounded."""
    least = _LOST * step * max(shape) ** 0.5
    below = float(sigma[sigma <= least].double().square().sum())
    return below + float((sigma > least).sum()) * sum(shape) * step**2 / 12


def rung_for(sizes: Callable[[float], float], budget: float) -> int:
    """The rung at which the predicted size meets a budget."""
    low, high = -60 * PER_OCTAVE, 60 * PER_OCTAVE
    while high - low > 1:
        middle = (low + high) // 2
        if sizes(2.0 ** (middle / PER_OCTAVE)) > budget:
            low = middle
        else:
            high = middle
    return high


@dataclass(frozen=True)
class Auto:
    """Encodes each tensor as it was chosen; `scale` refines all steps together."""

    workshop: CandidateCache
    allocation: Allocation
    wish: Mapping[str, Any]
    scale: float = 1.0
    name: str = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for, and what the steps were scaled by."""
        return {
            **self.wish,
            **self.workshop.weighting.settings,
            "scale": round(self.scale, 6),
        }

    @property
    def is_exact(self) -> bool:
        """Whether no tensor is rounded."""
        return {choice.family for choice in self.allocation.choices.values()} <= {"lossless"}

    @property
    def is_mixed(self) -> bool:
        """Whether some tensors are rounded, and some are not."""
        families = {choice.family for choice in self.allocation.choices.values()}
        return "lossless" in families and len(families) > 1

    def scaled(self, by: float) -> "Auto":
        """All steps multiplied."""
        return replace(self, scale=self.scale * by)

    def choice(self, tensor: str) -> EncodingChoice | None:
        """What a tensor becomes; None where it is carried exactly."""
        found = self.allocation.choices.get(tensor)
        return found and replace(found, step=found.step * self.scale)

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Encode one tensor."""
        choice = self.choice(pair.tensor)
        spec = pair.tuned
        if choice is None or spec is None or choice.family == "lossless":
            return Lossless().encode(pair, chunks, writer)
        if choice.family == "zero":
            return write(spec, None, writer)
        if is_large(spec):
            metric = self.workshop.weighting.metric(pair.tensor, rows_of(spec))
            return write(spec, code_large(spec, chunks, metric, choice), writer)
        candidates = self.workshop.candidates(pair, lambda: delta_of(spec, chunks))
        if candidates is None:
            return Lossless().encode(pair, chunks, writer)
        return write(spec, candidates.code(choice), writer)
