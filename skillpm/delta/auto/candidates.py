"""The candidate encodings of one tensor at a given step, with the size and distortion of each."""

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
"""Sides longer than this are rounded without error feedback, which works column by column."""
_HYBRID_CUT = 3.0
"""`svd-ec+grid` keeps the singular values above this many steps in its low-rank part."""
_PRICE = 0.92
"""The price of a byte in squared steps at which a uniform quantiser is optimal: 8 · ln 2 / 6."""
_NEARLY = 1.5
"""`svd-ec+grid` is tried if `grid` costs less than this many times `svd-ec`."""
_EXACTLY = 1e-3
"""Below this share of the energy, the distortion of `svd-ec` is measured from the decode."""
_SAMPLE = 1 << 20
_FEWEST_ROWS = 256
"""A survey of a larger tensor rounds `_SAMPLE` entries, in at least `_FEWEST_ROWS` rows."""
RECORD_BYTES = 130
"""An estimate of the bytes of a tensor's record and its part in the header of a layer."""


@dataclass(frozen=True)
class EncodingChoice:
    """A codec family and its step; 0 for a family without a step."""

    family: Family
    step: float = 0.0


@dataclass(frozen=True)
class CandidatePoint:
    """An encoding choice, its bytes, and its distortion under the metric."""

    choice: EncodingChoice
    size: float
    distortion: float

    def cost(self, price: float) -> float:
        """Return D + λ · bytes."""
        return self.distortion + price * self.size


class Candidates:
    """The candidate encodings of a tensor's delta [m, n], measured under its metric.

    `delta` may be a sample of the tensor's rows; `times` is then the number of rows for each row
    sampled. A sample is not decomposed. Making the candidates costs an SVD, O(m·n·min(m, n)).
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
        """Return a step at which nearly all entries round to zero."""
        if self.whitened is not None:
            return 2 * float(self.whitened.sigma[0])
        return 2 * sqrt(self.energy)

    def points(self, step: float) -> list[CandidatePoint]:
        """Return the points at one step.

        `svd-ec+grid` is included only if `grid` is about as good as `svd-ec`.
        """
        factored, dense = self._factored_point(step), self._grid_point(step)
        points = [factored, dense]
        price = _PRICE * step**2
        if factored and dense and dense.cost(price) < _NEARLY * factored.cost(price):
            points.append(self._hybrid_point(step))
        return [point for point in points if point]

    def _factored_point(self, step: float) -> CandidatePoint | None:
        fitted = self.whitened and fit_factors(self.whitened, step, feedback=False)
        if not fitted:
            return None
        choice, distortion = EncodingChoice("svd-ec", step), self.energy - fitted.explained
        if distortion < _EXACTLY * self.energy:  # the difference loses its digits
            return self.point(choice, fitted.coded)
        return CandidatePoint(choice, fitted.coded.estimate() + RECORD_BYTES, distortion)

    def _grid_point(self, step: float) -> CandidatePoint | None:
        sample, metric = self._sampled
        coded = code_grid(sample, metric, step, feedback=False)
        if coded is None:
            return None
        error = sample - torch.from_numpy(coded.decoded_delta()).float()
        size = self._share * coded.estimate() + RECORD_BYTES
        return CandidatePoint(
            EncodingChoice("grid", step), size, self._share * metric.distortion(error)
        )

    def _hybrid_point(self, step: float) -> CandidatePoint | None:
        large = self.whitened and self.whitened.truncate(_HYBRID_CUT * step)
        low_rank = fit_factors(large, step, feedback=False) if large else None
        if low_rank is None:
            return None
        sample, metric = self._sampled
        remainder = sample - low_rank.left[:: self._stride] @ low_rank.right.T
        residual = code_grid(remainder, metric, step, feedback=False)
        if residual is None:
            return None
        error = remainder - torch.from_numpy(residual.decoded_delta()).float()
        size = low_rank.coded.estimate() + self._share * residual.estimate() + RECORD_BYTES
        return CandidatePoint(
            EncodingChoice("svd-ec+grid", step), size, self._share * metric.distortion(error)
        )

    @cached_property
    def _stride(self) -> int:
        """The stride of the rows that a survey rounds, if rounding works entry by entry.

        1 if the row factor of the metric is a full matrix. Most entries then round to zero, and
        their errors, which are the entries themselves, are correlated between rows.
        """
        if self.metric.rows.factor.ndim > 1:
            return 1
        return max(1, min(self.delta.numel() // _SAMPLE, self.delta.shape[0] // _FEWEST_ROWS))

    @property
    def _share(self) -> float:
        """The number of samples that make up the whole tensor."""
        return self.times * self.delta.shape[0] / len(self._sampled[0])

    @cached_property
    def _sampled(self) -> tuple[torch.Tensor, ErrorMetric]:
        """The rows that a survey rounds, and their metric."""
        if self._stride == 1:
            return self.delta, self.metric
        weights = self.metric.rows.diagonal
        rows = weights if len(weights) == 1 else weights[:: self._stride]
        sample = self.delta[:: self._stride].contiguous()
        return sample, ErrorMetric(MetricFactor(rows), self.metric.columns)

    def fixed(self) -> Iterator[CandidatePoint]:
        """Yield the points without a step: `zero` and `sign`."""
        yield CandidatePoint(EncodingChoice("zero"), RECORD_BYTES / 2, self.energy)
        coded = self.code(EncodingChoice("sign"))
        if coded is not None:
            yield self.point(EncodingChoice("sign"), coded)

    def point(self, choice: EncodingChoice, coded: CodedTensor) -> CandidatePoint:
        """Return the bytes and the distortion of a coded tensor."""
        error = self.delta - torch.from_numpy(coded.decoded_delta()).float()
        size = self.times * coded.estimate() + RECORD_BYTES
        return CandidatePoint(choice, size, self.times * self.metric.distortion(error))

    def code(self, choice: EncodingChoice, *, final: bool = True) -> CodedTensor | None:
        """Encode the tensor by a choice; None if all of it would round to zero.

        Rounding feeds its errors back if `final`.
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
        kept = self.whitened.truncate(_HYBRID_CUT * step)
        low_rank = code_factors(kept, step, feedback=feedback) if kept is not None else None
        if low_rank is None:
            return None
        remainder = self.delta - torch.from_numpy(low_rank.decoded_delta()).float()
        residual = code_grid(remainder, self.metric, step, feedback=feedback)
        return None if residual is None else CodedHybrid(low_rank, residual)


def write(spec: TensorSpec, coded: CodedTensor | None, writer: PayloadWriter) -> Record:
    """Write a coded tensor and return its record. None is written with the codec `zero`."""
    return zero.encode(spec, writer) if coded is None else coded.write(spec, writer)
