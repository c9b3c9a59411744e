"""What one tensor can be encoded as, at a given step, and what each way costs and errs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal

import numpy as np
import torch

from skillpm.delta.auto.dense import code_grid, code_signs
from skillpm.delta.auto.factored import Whitened, code_factors, fit_factors
from skillpm.delta.auto.metric import Metric, Side
from skillpm.delta.auto.rough import rough_size
from skillpm.delta.codecs import factors, grid, hybrid, sign, zero
from skillpm.delta.codecs.factors import CodedFactors
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.hybrid import CodedHybrid
from skillpm.delta.codecs.sign import CodedSigns
from skillpm.delta.payload import PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.spec.dtypes import TensorSpec

Coded = CodedFactors | CodedGrid | CodedHybrid | CodedSigns
Family = Literal["zero", "svd-ec", "grid", "svd-ec+grid", "sign", "lossless"]
FEEDBACK_LIMIT = 8192
"""Wider sides are rounded without feedback: it goes column by column."""
_HYBRID_CUT = 3.0
"""The low-rank part of a hybrid takes singular values above so many steps."""
_PRICE = 0.92
"""Of a byte, in squared steps, where a uniform quantiser is at its optimum: 8 · ln 2 / 6."""
_NEARLY = 1.5
_EXACTLY = 1e-3
_SAMPLE = 1 << 20
_FEWEST = 256
"""A survey rounds so many entries, in at least so many rows, where there are more."""
RECORD_BYTES = 130
"""A tensor's record, and its part in the header of a layer."""


@dataclass(frozen=True)
class Choice:
    """A way to encode a tensor; the step is 0 where it has none."""

    family: Family
    step: float = 0.0


@dataclass(frozen=True)
class Point:
    """What a choice costs in bytes, and its distortion."""

    choice: Choice
    size: float
    distortion: float

    def cost(self, price: float) -> float:
        """D + λ · bytes."""
        return self.distortion + price * self.size


class Candidates:
    """All that a tensor's delta [m, n] can become under its metric.

    `times` is how many times as large the tensor is as the rows that stand for it here; where
    there are more, it is not decomposed.
    """

    def __init__(self, spec: TensorSpec, delta: Floats, metric: Metric, *, times: int = 1) -> None:
        self.spec = spec
        self.times = times
        self.metric = metric
        self.delta = torch.from_numpy(delta.reshape(grid.rows_of(spec))).float()
        self.energy = times * metric.distortion(self.delta)
        vector = times > 1 or min(self.delta.shape) < 2  # noqa: PLR2004 - a matrix has two
        self.whitened = None if vector else Whitened.of(self.delta, metric)

    def top(self) -> float:
        """A step at which next to nothing is left."""
        if self.whitened is not None:
            return 2 * float(self.whitened.sigma[0])
        return 2 * sqrt(self.energy)

    def points(self, step: float) -> list[Point]:
        """Every family at one step; both together only where neither is much the worse."""
        factored, dense = self._factored(step), self._dense(step)
        found = [factored, dense]
        price = _PRICE * step**2
        if factored and dense and dense.cost(price) < _NEARLY * factored.cost(price):
            found.append(self._both(step))
        return [point for point in found if point]

    def _factored(self, step: float) -> Point | None:
        fitted = self.whitened and fit_factors(self.whitened, step, feedback=False)
        if not fitted:
            return None
        choice, distortion = Choice("svd-ec", step), self.energy - fitted.explained
        if distortion < _EXACTLY * self.energy:  # little is left of a difference of such sums
            return self.point(choice, fitted.coded)
        return Point(choice, rough_size(fitted.coded) + RECORD_BYTES, distortion)

    def _dense(self, step: float) -> Point | None:
        few, metric = self._few
        coded = code_grid(few, metric, step, feedback=False)
        if coded is None:
            return None
        error = few - torch.from_numpy(grid.delta_of(coded)).float()
        size = self._share * rough_size(coded) + RECORD_BYTES
        return Point(Choice("grid", step), size, self._share * metric.distortion(error))

    def _both(self, step: float) -> Point | None:
        above = self.whitened and self.whitened.above(_HYBRID_CUT * step)
        low = fit_factors(above, step, feedback=False) if above else None
        if low is None:
            return None
        few, metric = self._few
        left = few - low.left[:: self._every] @ low.right.T
        rest = code_grid(left, metric, step, feedback=False)
        if rest is None:
            return None
        error = left - torch.from_numpy(grid.delta_of(rest)).float()
        size = rough_size(low.coded) + self._share * rough_size(rest) + RECORD_BYTES
        return Point(Choice("svd-ec+grid", step), size, self._share * metric.distortion(error))

    @cached_property
    def _every(self) -> int:
        """A survey rounds every so many rows of what is rounded entry by entry.

        All of them where a whole factor lies over the rows: entries that become zero, as most do,
        err by what they were, and that hangs together.
        """
        if self.metric.rows.factor.ndim > 1:
            return 1
        return max(1, min(self.delta.numel() // _SAMPLE, self.delta.shape[0] // _FEWEST))

    @property
    def _share(self) -> float:
        """How many times as much the whole tensor is."""
        return self.times * self.delta.shape[0] / len(self._few[0])

    @cached_property
    def _few(self) -> tuple[torch.Tensor, Metric]:
        """Rows that stand for all, and their metric."""
        if self._every == 1:
            return self.delta, self.metric
        weights = self.metric.rows.diagonal
        rows = weights if len(weights) == 1 else weights[:: self._every]
        few = self.delta[:: self._every].contiguous()
        return few, Metric(Side(rows), self.metric.columns)

    def fixed(self) -> Iterator[Point]:
        """What has no step: nothing at all, and signs."""
        yield Point(Choice("zero"), RECORD_BYTES / 2, self.energy)
        coded = self.code(Choice("sign"))
        if coded is not None:
            yield self.point(Choice("sign"), coded)

    def point(self, choice: Choice, coded: Coded) -> Point:
        """Cost and distortion of what was coded."""
        error = self.delta - torch.from_numpy(self.decoded(coded)).float().reshape(self.delta.shape)
        size = self.times * rough_size(coded) + RECORD_BYTES
        return Point(choice, size, self.times * self.metric.distortion(error))

    def code(self, choice: Choice, *, final: bool = True) -> Coded | None:
        """The tensor in one way; None where nothing of it would be left.

        What is not `final` is rounded without feedback.
        """
        feedback = final and max(self.delta.shape) <= FEEDBACK_LIMIT
        if choice.family == "grid":
            return code_grid(self.delta, self.metric, choice.step, feedback=feedback)
        if self.whitened is None:
            return None
        if choice.family == "sign":
            return code_signs(self.delta, self.metric)
        if choice.family == "svd-ec":
            return code_factors(self.whitened, choice.step, feedback=feedback)
        return self._hybrid(choice.step, feedback=feedback)

    def _hybrid(self, step: float, *, feedback: bool) -> CodedHybrid | None:
        assert self.whitened is not None  # noqa: S101 - for the type checker
        few = self.whitened.above(_HYBRID_CUT * step)
        low = code_factors(few, step, feedback=feedback) if few is not None else None
        if low is None:
            return None
        near = torch.from_numpy(factors.delta_of(self.spec, low)).float()
        left = self.delta - near.reshape(self.delta.shape)
        rest = code_grid(left, self.metric, step, feedback=feedback)
        return None if rest is None else CodedHybrid(low, rest)

    def decoded(self, coded: Coded) -> Floats:
        """What a decoder will give, flat."""
        if isinstance(coded, CodedFactors):
            return factors.delta_of(self.spec, coded)
        if isinstance(coded, CodedHybrid):
            return hybrid.delta_of(self.spec, coded)
        of = sign.delta_of(coded) if isinstance(coded, CodedSigns) else grid.delta_of(coded)
        return np.ascontiguousarray(of).reshape(-1)


def write(spec: TensorSpec, coded: Coded | None, writer: PayloadWriter) -> Record:
    """Write what was coded; None is zero."""
    if coded is None:
        return zero.encode(spec, writer)
    if isinstance(coded, CodedFactors):
        return factors.encode(spec, coded, writer)
    if isinstance(coded, CodedHybrid):
        return hybrid.encode(spec, coded, writer)
    if isinstance(coded, CodedSigns):
        return sign.encode(spec, coded, writer)
    return grid.encode(spec, coded, writer)
