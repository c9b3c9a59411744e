"""The input and the output of a peer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.delta.codecs.svd import SingularFactors, matrix_shape
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.delta.tensors.pairing import Pair, pair_up
from skillpm.delta.tensors.rounding import Floats, to_float64
from skillpm.delta.tensors.streams import whole
from skillpm.spec.dtypes import TensorSpec, is_float

Budget = int
"""Maximum size of the whole file in bytes."""

Role = Literal["exact", "embedding", "linear"]


@dataclass(frozen=True)
class Candidate:
    """A compressed fine-tune, decoded from the written file.

    `state`: every tensor of the model, at its storage dtype. `bytes`: the file's. `seconds`: of
    encoding, writing and decoding.
    """

    state: dict[str, torch.Tensor]
    bytes: int
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One fine-tune to compress. Tensors are read once and kept in memory: tens of MB.

    `calibration`: JSON lines {"text": …}. `folder`: where files are written. `sequences` of
    `tokens` tokens each are read from the calibration text.
    """

    base: Path
    tuned: Path
    calibration: Path
    kind: Literal["causal", "encoder"]
    folder: Path
    seed: int = 0
    sequences: int = 128
    tokens: int = 256

    @cached_property
    def before(self) -> Checkpoint:
        """The base."""
        return open_checkpoint(self.base)

    @cached_property
    def after(self) -> Checkpoint:
        """The tuned model."""
        return open_checkpoint(self.tuned)

    @cached_property
    def pairs(self) -> list[Pair]:
        """The tensors that differ, by name. Rejects a tuned model of other shapes.

        Buffers that the tuned model lacks (newer libraries do not save them) stay the base's.
        """
        found, _ = pair_up(self.before.specs, self.after.specs, cast=False)
        pairs = [pair for pair in found if pair.tuned is not None]
        if odd := [pair.tensor for pair in pairs if pair.change != "changed"]:
            message = f"the peers compress changed tensors alone; {odd[0]} is added or resized"
            raise ValueError(message)
        return [pair for pair in pairs if self._differs(pair.tensor)]

    def _differs(self, name: str) -> bool:
        spec = self.before.specs[name]
        return not np.array_equal(whole(self.before, spec), whole(self.after, spec))

    @cached_property
    def deltas(self) -> dict[str, Floats]:
        """float64(tuned) - float64(base), flat, of every floating point tensor that differs."""
        return {
            spec.name: to_float64(whole(self.after, spec), spec.dtype)
            - to_float64(whole(self.before, spec), spec.dtype)
            for spec in (self.before.specs[pair.tensor] for pair in self.pairs)
            if is_float(spec.dtype)
        }

    def named(self, role: Role) -> list[str]:
        """The differing tensors of one role."""
        specs = self.before.specs
        return [pair.tensor for pair in self.pairs if role_of(specs[pair.tensor]) == role]

    @cached_property
    def factors(self) -> dict[str, SingularFactors]:
        """The singular value decomposition of every linear delta, shared by all methods."""
        threads = torch.get_num_threads()
        try:
            return {
                name: decompose(self.deltas[name].reshape(matrix_shape(self.before.specs[name])))
                for name in self.named("linear")
            }
        finally:
            torch.set_num_threads(threads)


def role_of(spec: TensorSpec) -> Role:
    """How the paper's recipe treats a tensor: by kind of module, as `GraftLLM.encode` does."""
    kind = kind_of(spec.name)
    flat = len(spec.shape) < 2 or min(matrix_shape(spec)) < 2
    if not is_float(spec.dtype) or flat or kind == "norm":
        return "exact"
    return "embedding" if kind in ("embedding", "head") else "linear"


class Clock:
    """Seconds since its creation."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall time."""
        return time.perf_counter() - self._started
