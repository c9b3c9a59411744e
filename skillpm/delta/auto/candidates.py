"""The ways to encode one tensor at a given step, with the size and the distortion of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal

import torch

from skillpm.delta.auto.dense import code_grid, code_signs
from skillpm.delta.auto.factored import WhitenedDelta, code_factors, fit_factors
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs import zero
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.codecs.svd_ec_grid import CodedHybrid
from skillpm.delta.coding.payload import PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.dtypes import TensorSpec

Family = Literal["zero", "svd-ec", "grid", "svd-ec+grid", "sign", "lossless"]
FEEDBACK_LIMIT = 8192
"""Wider sides are rounded without feedback: it goes column by column."""
_HYBRID_CUT = 3.0
"""Steps above which a singular value goes into the low-rank part of `svd-ec+grid`."""
_PRICE = 0.92
"""Of a byte, in squared steps, where a uniform quantiser is at its optimum: 8 · ln 2 / 6."""
_NEARLY = 1.5
_EXACTLY = 1e-3
_SAMPLE = 1 << 20
_FEWEST = 256
"""Of a larger tensor, a survey rounds `_SAMPLE` entries, in at least `_FEWEST` rows."""
RECORD_BYTES = 130
"""A tensor's record, and its part in the header of a layer."""


@dataclass(frozen=True)
class EncodingChoice:
    """A way to encode a tensor; the step is 0 for families without one."""

    family: Family
    step: float = 0.0


@dataclass(frozen=True)
class CandidatePoint:
    """The bytes of a choice, and its distortion."""

    choice: EncodingChoice
    size: float
    distortion: float

    def cost(self, price: float) -> float:
        """D + λ · bytes."""
        return self.distortion + price * self.size


class Candidates:
    """The ways to encode a tensor's delta [m, n], measured under its metric.

    `times` is the size of the tensor in units of `delta`, which is a sample of its rows where
    `times` is more than 1; a sample is not decomposed.
    """

    def __init__(
        self, spec: TensorSpec, delta: Floats, metric: ErrorMetric, *, times: int = 1
    ) -> None:
        self.spec = spec
        self.times = times
        self.metric = metric
        self.delta = torch.from_numpy(delta.reshape(rows_of(spec))).float()
        self.energy = times * metric.distortion(self.delta)
        vector = times > 1 or min(self.delta.shape) < 2  # noqa: PLR2004 - a matrix has two
        self.whitened = None if vector else WhitenedDelta.of(self.delta, metric)

    def top(self) -> float:
        """A step at which nearly all entries round to zero."""
        if self.whitened is not None:
            return 2 * float(self.whitened.sigma[0])
        return 2 * sqrt(self.energy)

    def points(self, step: float) -> list[CandidatePoint]:
        """The points at one step; `svd-ec+grid` only where `grid` is about as good as `svd-ec`."""
        factored, dense = self._factored(step), self._dense(step)
        found = [factored, dense]
        price = _PRICE * step**2
        if factored and dense and dense.cost(price) < _NEARLY * factored.cost(price):
            found.append(self._both(step))
        return [point for point in found if point]

    def _factored(self, step: float) -> CandidatePoint | None:
        fitted = self.whitened and fit_factors(self.whitened, step, feedback=False)
        if not fitted:
            return None
        choice, distortion = EncodingChoice("svd-ec", step), self.energy - fitted.explained
        if distortion < _EXACTLY * self.energy:  # little is left of a difference of such sums
            return self.point(choice, fitted.coded)
        return CandidatePoint(choice, fitted.coded.estimate() + RECORD_BYTES, distortion)

    def _dense(self, step: float) -> CandidatePoint | None:
        few, metric = self._few
        coded = code_grid(few, metric, step, feedback=False)
        if coded is None:
            return None
        error = few - torch.from_numpy(coded.decoded_delta()).float()
        size = self._share * coded.estimate() + RECORD_BYTES
        return CandidatePoint(
            EncodingChoice("grid", step), size, self._share * metric.distortion(error)
        )

    def _both(self, step: float) -> CandidatePoint | None:
        above = self.whitened and self.whitened.above(_HYBRID_CUT * step)
        low = fit_factors(above, step, feedback=False) if above else None
        if low is None:
            return None
        few, metric = self._few
        left = few - low.left[:: self._every] @ low.right.T
        rest = code_grid(left, metric, step, feedback=False)
        if rest is None:
            return None
        error = left - torch.from_numpy(rest.decoded_delta()).float()
        size = low.coded.estimate() + self._share * rest.estimate() + RECORD_BYTES
        return CandidatePoint(
            EncodingChoice("svd-ec+grid", step), size, self._share * metric.distortion(error)
        )

    @cached_property
    def _every(self) -> int:
        """The stride of the rows that a survey rounds, where rounding is entry by entry.

        1 where the metric of the rows is a whole factor: most entries become zero, their errors
        are the entries themselves, and those are correlated from row to row.
        """
        if self.metric.rows.factor.ndim > 1:
            return 1
        return max(1, min(self.delta.numel() // _SAMPLE, self.delta.shape[0] // _FEWEST))

    @property
    def _share(self) -> float:
        """The size of the whole tensor, in samples."""
        return self.times * self.delta.shape[0] / len(self._few[0])

    @cached_property
    def _few(self) -> tuple[torch.Tensor, ErrorMetric]:
        """The rows that a survey rounds, and their metric."""
        if self._every == 1:
            return self.delta, self.metric
        weights = self.metric.rows.diagonal
        rows = weights if len(weights) == 1 else weights[:: self._every]
        few = self.delta[:: self._every].contiguous()
        return few, ErrorMetric(MetricFactor(rows), self.metric.columns)

    def fixed(self) -> Iterator[CandidatePoint]:
        """The points without a step: `zero` and `sign`."""
        yield CandidatePoint(EncodingChoice("zero"), RECORD_BYTES / 2, self.energy)
        coded = self.code(EncodingChoice("sign"))
        if coded is not None:
            yield self.point(EncodingChoice("sign"), coded)

    def point(self, choice: EncodingChoice, coded: CodedTensor) -> CandidatePoint:
        """Cost in bytes and distortion of a coded tensor."""
        error = self.delta - torch.from_numpy(coded.decoded_delta()).float()
        size = self.times * coded.estimate() + RECORD_BYTES
        return CandidatePoint(choice, size, self.times * self.metric.distortion(error))

    def code(self, choice: EncodingChoice, *, final: bool = True) -> CodedTensor | None:
        """The tensor, coded by a choice; None where all of it would round to zero.

        Rounding feeds its errors back where it is `final`.
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
        left = self.delta - torch.from_numpy(low.decoded_delta()).float()
        rest = code_grid(left, self.metric, step, feedback=feedback)
        return None if rest is None else CodedHybrid(low, rest)


def write(spec: TensorSpec, coded: CodedTensor | None, writer: PayloadWriter) -> Record:
    """Write a coded tensor; None is written with the codec `zero`."""
    return zero.encode(spec, writer) if coded is None else coded.write(spec, writer)
