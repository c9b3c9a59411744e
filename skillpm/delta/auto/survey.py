"""Surveys one tensor: its candidates at all steps, with estimated bytes and distortions.

Grid and exact encoding are estimated first. A step whose grid is larger than exact encoding is not
estimated, nor is a low-rank form that is larger than exact encoding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import torch

from skillpm.delta.auto.dense import SIGN_FINE, TOP, grid_scales
from skillpm.delta.auto.estimates import (
    HYBRID_CUT,
    PER_OCTAVE,
    DenseEstimate,
    DenseScales,
    FactorEstimate,
    hybrid_sample,
    octaves_of,
    step_of,
    top_index,
)
from skillpm.delta.auto.exact_size import SMALL, estimated_bytes, measured_bytes
from skillpm.delta.auto.factored import factor_scales
from skillpm.delta.auto.lattice import on_lattice
from skillpm.delta.auto.magnitudes import Classes
from skillpm.delta.auto.metric import ErrorMetric
from skillpm.delta.auto.points import (
    RECORD_BYTES,
    CandidatePoint,
    EncodingChoice,
    Family,
    TensorSurvey,
    lower_hull,
)
from skillpm.delta.auto.profile import RowSums, Spectrum, dense_scales, has_feedback
from skillpm.delta.auto.rows import RowBlock, TensorRows, is_large
from skillpm.delta.auto.strata import Strata
from skillpm.delta.codecs.shared.estimate import scale_bits
from skillpm.delta.codecs.shared.scales import to_logs
from skillpm.delta.tensors.pairing import Pair

FINEST = 22 * PER_OCTAVE
"""Step indices below the coarsest that are estimated at most; a finer step costs more than exact
encoding."""
FEEDBACK_STEP = 2.0**0.75
"""Errors that are fed back are rounded again, so a tensor that is estimated without them takes as
many bytes, and errs as much, as with a step that is coarser by this factor (ADR 37)."""
_NEARLY = 1.5
"""`svd-ec+grid` is estimated if `grid` costs less than this many times `svd-ec`."""
_PRECISION = 1e-10
"""The least distortion of rounding, as a share of the energy: float32 has no finer estimates."""
_PRICE = 0.92
"""The price of a byte in squared steps at which a uniform quantiser is optimal: 8 · ln 2 / 6."""


def survey_tensor(pair: Pair, rows: TensorRows, metric: ErrorMetric) -> TensorSurvey | None:
    """Return the candidates of a tensor; None if it can only be stored exactly.

    A tensor that is not large is read once and decomposed once, O(m·n·min(m, n)). A large one is
    read twice.
    """
    return survey_tensors([(pair, rows, metric)])[0]


def survey_tensors(
    tensors: Sequence[tuple[Pair, TensorRows, ErrorMetric]],
) -> list[TensorSurvey | None]:
    """Survey tensors of one shape, decomposed by one call. Holds all of their deltas."""
    read = [_read(pair, rows, metric.on(rows.device)) for pair, rows, metric in tensors]
    codable = [each for each in read if each is not None]
    matrices = [(each.delta, each.metric) for each in codable if each.delta is not None]
    spectra = iter(Spectrum.of_batch(matrices) if matrices else ())
    return [
        None if each is None else each.survey(None if each.delta is None else next(spectra))
        for each in read
    ]


def _read(pair: Pair, rows: TensorRows, metric: ErrorMetric) -> "_Ladders | None":
    """Read a tensor, and estimate the bytes of exact encoding; None if it must be exact."""
    held = None if is_large(rows.spec) else next(rows.blocks())
    blocks = rows.blocks() if held is None else iter((held,))
    deltas = map(rows.delta, blocks)
    delta = None if held is None else next(deltas)
    sums = RowSums.of(deltas if delta is None else iter((delta,)), metric)
    if not sums.is_codable:
        return None
    strata = sums.strata()
    sample = rows.sampled(strata.rows) if held is None else _rows_of(held, strata)
    exact = _exact_size(pair, rows, sample, strata, sums)
    matrix = None if delta is None or min(delta.shape) == 1 else delta
    octaves = octaves_of(sample, rows.spec.dtype)
    return _Ladders(metric, sums, strata, rows.delta(sample), octaves, exact, matrix)


def _rows_of(block: RowBlock, strata: Strata) -> RowBlock:
    return RowBlock(0, block.reference[strata.rows], block.tuned[strata.rows])


def _exact_size(
    pair: Pair, rows: TensorRows, sample: RowBlock, strata: Strata, sums: RowSums
) -> float:
    if rows.spec.elements < SMALL:
        return float(measured_bytes(pair, rows.read()))
    return estimated_bytes(sample.reference, sample.tuned, rows.spec.dtype, strata, sums.sizes.size)


@dataclass(frozen=True)
class _Ladders:
    """The estimates of one tensor at falling steps, by family. `exact` is its size if exact.

    `sample` [k, n] are rows of the delta, `delta` [m, n] is all of it, if it can be decomposed.
    """

    metric: ErrorMetric
    sums: RowSums
    strata: Strata
    sample: torch.Tensor
    octaves: Classes
    exact: float
    delta: torch.Tensor | None

    def survey(self, spectrum: Spectrum | None) -> TensorSurvey:
        """Return the points on the hull, given the spectrum of `delta`."""
        energy = self.sums.energy if spectrum is None else spectrum.energy
        rounding = dense_scales(self.metric, feedback=self._grid_feedback)
        scales = DenseScales.of(rounding, self.sums, self.strata, energy)
        dense = dict(self._dense(DenseEstimate(self.sample, self.strata, scales, self.octaves)))
        points = [*self._fixed(energy, signs=spectrum is not None), *dense.values()]
        if spectrum is not None:
            factors = FactorEstimate(spectrum)
            factored = dict(self._factored(factors))
            points += [*factored.values(), *self._hybrids(factors, scales, dense, factored)]
        precise = [point.no_better_than(_PRECISION * energy) for point in points]
        return TensorSurvey(energy, lower_hull(precise))

    def _fixed(self, energy: float, *, signs: bool) -> Iterator[CandidatePoint]:
        """Yield the points without a step: `zero`, `lossless` and `sign`."""
        yield CandidatePoint(EncodingChoice("zero"), RECORD_BYTES / 2, energy)
        yield CandidatePoint(EncodingChoice("lossless"), self.exact + RECORD_BYTES, 0.0)
        error = self.sums.sign_error
        if signs and error is not None:
            scales = to_logs(self.sums.sizes / self.sums.weight, SIGN_FINE)
            bits = self.sums.sizes.size * self.sums.columns.size + scale_bits(scales)
            lost = error / self.sums.diagonal_energy
            noise = max(0.0, error - lost**2 * self.sums.diagonal_energy)
            distortion = lost**2 * energy + noise
            yield CandidatePoint(EncodingChoice("sign"), bits / 8 + RECORD_BYTES, distortion)

    def _dense(self, estimate: DenseEstimate) -> Iterator[tuple[int, CandidatePoint]]:
        scales = scale_bits(*grid_scales(self.metric, feedback=self._grid_feedback))
        first = top_index(2 * estimate.largest)
        last = max(first - FINEST, top_index(self._largest / TOP))
        for index in range(first, last, -1):
            found = estimate.at(index)
            if not found.seen:
                continue
            if found.bits / 8 > self.exact:
                break
            yield index, self._point("grid", index, found.bits + scales, found.distortion)

    @property
    def _largest(self) -> float:
        """A bound of all entries in the units of a grid."""
        rows, columns = (sqrt(float(side.diagonal.max())) for side in self.metric.sides)
        return self.sums.largest * rows * columns

    def _factored(self, factors: FactorEstimate) -> Iterator[tuple[int, CandidatePoint]]:
        scales = scale_bits(*map(factor_scales, self.metric.sides))
        for index in range(factors.top, factors.top - FINEST, -1):
            found = factors.at(index)
            if found.bits / 8 > self.exact:
                break
            yield index, self._point("svd-ec", index, found.bits + scales, found.distortion)

    def _hybrids(
        self,
        factors: FactorEstimate,
        scales: DenseScales,
        dense: dict[int, CandidatePoint],
        factored: dict[int, CandidatePoint],
    ) -> Iterator[CandidatePoint]:
        """Yield `svd-ec+grid` at the steps where `grid` is not much worse than `svd-ec`."""
        fixed = scale_bits(
            *grid_scales(self.metric, feedback=self._grid_feedback),
            *map(factor_scales, self.metric.sides),
        )
        for index in sorted(dense.keys() & factored.keys(), reverse=True):
            price = _PRICE * step_of(index) ** 2
            near = dense[index].cost(price) < _NEARLY * factored[index].cost(price)
            if not near or not factors.kept(index, HYBRID_CUT):
                continue
            low = factors.at(index, HYBRID_CUT)
            rest = hybrid_sample(self.sample, factors, self.strata, index)
            found = DenseEstimate(rest, self.strata, scales, self.octaves).at(index)
            bits = low.bits + found.bits
            if bits / 8 > self.exact:
                break
            if found.seen:
                yield self._point("svd-ec+grid", index, bits + fixed, found.distortion)

    @property
    def _feedback(self) -> bool:
        """Whether the rounding of factors feeds its errors back."""
        return has_feedback((self.sums.sizes.size, self.sums.columns.size))

    @cached_property
    def _grid_feedback(self) -> bool:
        """Whether the rounding of a grid, or of a hybrid, feeds its errors back."""
        return self._feedback and not on_lattice(self.sample)

    def _point(self, family: Family, index: int, bits: float, distortion: float) -> CandidatePoint:
        """Return a point, with the step at which encoding costs about what is estimated."""
        full = any(side.factor.ndim > 1 for side in self.metric.sides)
        feedback = self._feedback if family == "svd-ec" else self._grid_feedback
        step = step_of(index) * (FEEDBACK_STEP if full and feedback else 1.0)
        return CandidatePoint(EncodingChoice(family, step), bits / 8 + RECORD_BYTES, distortion)
