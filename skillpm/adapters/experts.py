"""A LoRA on the experts of a mixture: split factors for all experts into one update per expert.

PEFT stores A [experts · rank, in] and B [out, rank · experts] for a parameter of all experts, and
adds scale · Bₑ·Aₑ to expert e, with Bₑ = B.reshape(out, rank, experts)[:, :, e]. A checkpoint may
store each expert separately, even in several parts along the rows, or all in one tensor.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from skillpm.architecture.layout import ParameterTarget
from skillpm.delta.codecs.lowrank import AppliedUpdate, Update, factor_of
from skillpm.delta.codecs.shared.base import add_and_round
from skillpm.delta.tensors.ports import CHUNK, Source
from skillpm.delta.tensors.words import Words, chunk_spans, word_dtype, words_of
from skillpm.errors import GraftError
from skillpm.spec.dtypes import BITS, TensorSpec


@dataclass
class ExpertFactors:
    """The factors of each expert as separate tensors, named `a.E` and `b.E.FIRST.LAST`.

    Reading one keeps the factors of all experts in memory.
    """

    tensors: Source
    a: TensorSpec
    b: TensorSpec
    target: ParameterTarget
    _words: dict[str, Words] = field(init=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    specs: dict[str, TensorSpec] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        columns = self.target.experts * self.target.rank
        if self.a.shape[0] != columns or self.b.shape[1] != columns:
            raise GraftError(
                f"{self.a.name!r} has {self.a.shape[0]} rows, but {self.target.experts} experts "
                f"of rank {self.target.rank} need {columns}"
            )

    def side_a(self, expert: int) -> str:
        """The name of A [rank, in] of one expert."""
        name = f"a.{expert}"
        self.specs[name] = TensorSpec(name, self.a.dtype, (self.target.rank, self.a.shape[1]))
        return name

    def side_b(self, expert: int, rows: tuple[int, int]) -> str:
        """The name of B [rows, rank] of one expert."""
        name = f"b.{expert}.{rows[0]}.{rows[1]}"
        self.specs[name] = TensorSpec(name, self.b.dtype, (rows[1] - rows[0], self.target.rank))
        return name

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one expert's factor, in pieces of `CHUNK` words."""
        side, expert, *rows = name.split(".")
        count, rank = self.target.experts, self.target.rank
        if side == "a":
            words = self._whole(self.a).reshape(count, rank, -1)[int(expert)]
        else:
            split = self._whole(self.b).reshape(-1, rank, count)[:, :, int(expert)]
            words = split[int(rows[0]) : int(rows[1])]
        flat = np.ascontiguousarray(words).reshape(-1)
        for start in range(0, flat.size, CHUNK):
            yield flat[start : start + CHUNK].tobytes()

    def _whole(self, spec: TensorSpec) -> Words:
        with self._lock:
            if spec.name not in self._words:
                data = b"".join(self.tensors.chunks(spec.name))
                self._words[spec.name] = np.frombuffer(data, word_dtype(BITS[spec.dtype] // 8))
            return self._words[spec.name]


@dataclass(frozen=True)
class ExpertSum:
    """One tensor [experts, rows, columns] with the update of each expert added, rounded once."""

    base: Source
    tensor: str
    factors: ExpertFactors

    def __post_init__(self) -> None:
        spec, target = self.base.specs[self.tensor], self.factors.target
        out, width = self.factors.b.shape[0], self.factors.a.shape[1]
        expert = (out, width) if target.swapped else (width, out)
        if spec.shape != (target.experts, *expert):
            raise GraftError(
                f"the adapter's update of `{self.tensor}` has shape {[target.experts, *expert]}, "
                f"but the tensor has {list(spec.shape)}"
            )

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """The spec of the tensor."""
        return {self.tensor: self.base.specs[self.tensor]}

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in pieces of `CHUNK` words."""
        step = CHUNK * self.specs[name].itemsize
        waiting = b""
        for data in self._added():
            waiting += data
            while len(waiting) >= step:
                yield waiting[:step]
                waiting = waiting[step:]
        if waiting:
            yield waiting

    def _added(self) -> Iterator[bytes]:
        spec, target = self.specs[self.tensor], self.factors.target
        matrix = TensorSpec(self.tensor, spec.dtype, spec.shape[1:])
        source, waiting = self.base.chunks(self.tensor), b""
        for expert in range(target.experts):
            applied = AppliedUpdate.fitting(matrix, self._update(expert))
            for number, (start, stop) in enumerate(chunk_spans(matrix)):
                size = (stop - start) * matrix.itemsize
                while len(waiting) < size:
                    waiting += next(source)
                words = words_of(waiting[:size], matrix)
                waiting = waiting[size:]
                delta = applied.delta(number, words)
                yield add_and_round(words, delta, spec.dtype, self.tensor).tobytes()

    def _update(self, expert: int) -> Update:
        factors, target = self.factors, self.factors.target
        names = factors.side_a(expert), factors.side_b(expert, (0, factors.b.shape[0]))
        a, b = (
            factor_of(b"".join(factors.chunks(n)), factors.specs[n].dtype, factors.specs[n].shape)
            for n in names
        )
        if not all(np.isfinite(block).all() for side in (a, b) for block in side.blocks()):
            raise GraftError(f"{factors.a.name!r} or its other factor contains NaN or infinity")
        return Update(a, b, target.scale, not target.swapped)
