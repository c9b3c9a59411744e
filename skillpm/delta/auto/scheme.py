"""The scheme `auto`: survey all tensors, allocate bytes, then encode as allocated."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
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
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import is_float

PER_OCTAVE = 2
"""Steps of the survey in an octave: the step of index i is 2^(i / PER_OCTAVE)."""
_LOST = 0.3
"""Entries whose spread is below this many steps are predicted to round to zero."""
_FINEST = 2.0**-22
"""The finest step surveyed, relative to `Candidates.top`; a finer one costs more than exact
encoding."""
HELD_BYTES = 1 << 29
"""Bytes of decompositions that are kept in memory between survey and encoding."""
Delta = Callable[[], Floats | None]
"""Reads a tensor's delta [m, n], of a large tensor a sample of its rows; None if it is not
finite."""


def encodable(pair: Pair) -> bool:
    """Whether a tensor has a delta that may be rounded; all other tensors are stored exactly."""
    spec = pair.tuned
    return pair.change == "changed" and spec is not None and is_float(spec.dtype)


@dataclass
class CandidateCache:
    """Makes the candidates of tensors; keeps the most recently used while they fit in memory."""

    weighting: Weighting
    _held: "OrderedDict[str, tuple[int, Candidates]]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def candidates(self, pair: Pair, delta: Delta) -> Candidates | None:
        """Return the candidates of a tensor; None if it can only be stored exactly."""
        with self._lock:
            if pair.tensor in self._held:
                self._held.move_to_end(pair.tensor)
                return self._held[pair.tensor][1]
        candidates = self._make(pair, delta)
        if candidates is not None:
            size = (
                4 * sum(side * side for side in candidates.delta.shape)
                + 16 * candidates.delta.numel()
            )
            with self._lock:
                self._held[pair.tensor] = (size, candidates)
                while sum(held for held, _ in self._held.values()) > HELD_BYTES:
                    self._held.popitem(last=False)
        return candidates

    def _make(self, pair: Pair, delta: Delta) -> Candidates | None:
        spec, rows = pair.tuned, delta()
        if spec is None or rows is None or not rows.any():
            return None
        largest = float(np.abs(rows).max())
        if not 2.0**-60 < largest < 2.0**60:  # its square must fit float32
            return None
        metric = self.weighting.metric(pair.tensor, rows_of(spec))
        return (sampled if is_large(spec) else Candidates)(spec, rows, metric)


def exact_point(pair: Pair, chunks: Iterable[Chunk]) -> CandidatePoint:
    """Return the point of exact encoding, measured by encoding the tensor to a temporary file."""
    with TemporaryFile() as spool:
        Lossless().encode(pair, chunks, PayloadWriter(spool))
        return CandidatePoint(EncodingChoice("lossless"), spool.tell() + RECORD_BYTES, 0.0)


def survey(candidates: Candidates, step_index: int) -> list[CandidatePoint]:
    """Return the points of one tensor at a step index; none if the step is too coarse or fine."""
    step, top = 2.0 ** (step_index / PER_OCTAVE), candidates.top()
    return list(candidates.points(step)) if _FINEST * top <= step <= top else []


def predicted_bytes(sigma: torch.Tensor, shape: tuple[int, int], step: float) -> float:
    """Estimate the bytes of singular factors at a step, from the singular values alone."""
    bits = 0.0
    for length in shape:
        spread = sigma / (step * length**0.5)  # of the factor's entries, in steps
        coded = spread[spread > _LOST]
        bits += length * float((0.5 * (1 + 17 * coded.square()).log2()).sum())
    return bits / 8


def predicted_distortion(sigma: torch.Tensor, shape: tuple[int, int], step: float) -> float:
    """Estimate the distortion of singular factors at a step, by truncation and by rounding."""
    least = _LOST * step * max(shape) ** 0.5
    below = float(sigma[sigma <= least].double().square().sum())
    return below + float((sigma > least).sum()) * sum(shape) * step**2 / 12


def step_index_for(sizes: Callable[[float], float], budget: float) -> int:
    """Return the step index at which the predicted size meets a budget, by bisection."""
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
    """Encodes each tensor as allocated. `requested` are the settings of the command.

    `scale` multiplies all steps, to refine the size after a first encoding.
    """

    cache: CandidateCache
    allocation: Allocation
    requested: Mapping[str, Any]
    scale: float = 1.0
    name: str = "auto"

    @property
    def settings(self) -> dict[str, Any]:
        """The requested settings, those of the metric, and the scale of the steps."""
        return {
            **self.requested,
            **self.cache.weighting.settings,
            "scale": round(self.scale, 6),
        }

    @property
    def is_exact(self) -> bool:
        """Whether all tensors are encoded exactly."""
        return {choice.family for choice in self.allocation.choices.values()} <= {"lossless"}

    @property
    def is_mixed(self) -> bool:
        """Whether some tensors are encoded exactly and others are rounded."""
        families = {choice.family for choice in self.allocation.choices.values()}
        return "lossless" in families and len(families) > 1

    def scaled(self, by: float) -> "Auto":
        """Multiply all steps by a factor."""
        return replace(self, scale=self.scale * by)

    def choice(self, tensor: str) -> EncodingChoice | None:
        """Return the choice for a tensor with its scaled step; None if it is stored exactly."""
        choice = self.allocation.choices.get(tensor)
        return choice and replace(choice, step=choice.step * self.scale)

    def encoding_key(self, tensor: str) -> dict[str, Any]:
        """The choice for the tensor, and the weighting of its errors."""
        choice = self.choice(tensor)
        weighting = self.cache.weighting.key
        return {"scheme": self.name, "choice": choice and asdict(choice), "weighting": weighting}

    def encode(self, pair: Pair, chunks: Iterable[Chunk], writer: PayloadWriter) -> Record:
        """Encode one tensor and return its record."""
        choice = self.choice(pair.tensor)
        spec = pair.tuned
        if choice is None or spec is None or choice.family == "lossless":
            return Lossless().encode(pair, chunks, writer)
        if choice.family == "zero":
            return write(spec, None, writer)
        if is_large(spec):
            metric = self.cache.weighting.metric(pair.tensor, rows_of(spec))
            return write(spec, code_large(spec, chunks, metric, choice), writer)
        candidates = self.cache.candidates(pair, lambda: delta_of(spec, chunks))
        if candidates is None:
            return Lossless().encode(pair, chunks, writer)
        return write(spec, candidates.code(choice), writer)
