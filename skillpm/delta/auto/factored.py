"""Candidates by singular factors: `svd-ec`.

The singular value decomposition is of the whitened delta R½ Δ C½ = U S Vᵀ, so that what is cut off
is what matters least. Its factors are carried back and rounded where the decoder needs them:
column k of R⁻½U and of C⁻½V on a step ∝ 1/Sₖ, which makes every entry's error weigh the same
(reverse water-filling: one step over all tensors gives ranks and bits). Rounding feeds its errors
back under R and C; at last one coefficient per rank is refitted by least squares under the metric.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from skillpm.delta.auto.deadzone import dead_zone, fed_back
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor, from_left, from_right
from skillpm.delta.codecs.shared.scales import Logs, from_logs, to_logs
from skillpm.delta.codecs.svd_ec import CodedFactors

RANK_FINE = 7
SCALE_FINE = 2
_LEAST = 0.5
"""A singular value below so many steps rounds to zero anyway."""


@dataclass(frozen=True)
class WhitenedDelta:
    """A delta [m, n] under its metric, decomposed: R⁻½U [m, r], S [r], C⁻½V [n, r]."""

    delta: torch.Tensor
    metric: ErrorMetric
    left: torch.Tensor
    sigma: torch.Tensor
    right: torch.Tensor

    @classmethod
    def of(cls, delta: torch.Tensor, metric: ErrorMetric) -> "WhitenedDelta":
        """Decompose. Costs O(m·n·min(m, n))."""
        whitened = from_right(from_left(metric.rows.root, delta), metric.columns.root)
        left, sigma, right = decompose(whitened)
        return cls(
            delta,
            metric,
            from_left(metric.rows.inverse_root, left),
            sigma,
            from_left(metric.columns.inverse_root, right),
        )

    def above(self, least: float) -> "WhitenedDelta | None":
        """The part whose singular values are larger; None where there is none."""
        kept = self.sigma > least
        if not bool(kept.any()):
            return None
        return WhitenedDelta(
            self.delta, self.metric, self.left[:, kept], self.sigma[kept], self.right[:, kept]
        )


def decompose(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U [m, r], S [r] and V [n, r] of the thin SVD, from the Gram matrix of the lesser side.

    Half the time of `svd`. Singular values below about 3e-4 of the largest lose digits (a square
    has twice the range), which is far below any step that a lossy pack would round them with.
    """
    tall = matrix.shape[0] >= matrix.shape[1]
    narrow = matrix if tall else matrix.T
    values, vectors = torch.linalg.eigh(narrow.T @ narrow)
    sigma = values.flip(0).clamp_min(0).sqrt()
    kept = sigma > sigma[0] * 3e-4 if len(sigma) else sigma > 0
    sigma, vectors = sigma[kept], vectors.flip(1)[:, kept]
    other = (narrow @ vectors) / sigma
    return (other, sigma, vectors) if tall else (vectors, sigma, other)


class _Rounded(NamedTuple):
    """Codes [d, r], what they stand for before the refit, one step of each rank, scales of rows."""

    codes: torch.Tensor
    values: torch.Tensor
    units: torch.Tensor
    scales: Logs | None


class FittedFactors(NamedTuple):
    """Coded factors; what they stand for, as left [m, r] · rightᵀ [r, n]; and what they explain.

    `explained` is how much of the distortion of nothing at all they take away: the refit is by
    least squares, so that it is the coefficients times their targets.
    """

    coded: CodedFactors
    left: torch.Tensor
    right: torch.Tensor
    explained: float


def code_factors(whitened: WhitenedDelta, step: float, *, feedback: bool) -> CodedFactors | None:
    """Round the factors with one step; None where nothing is left."""
    found = fit_factors(whitened, step, feedback=feedback)
    return found and found.coded


def fit_factors(whitened: WhitenedDelta, step: float, *, feedback: bool) -> FittedFactors | None:
    """As `code_factors`, with what a survey asks of the result."""
    kept = whitened.sigma > step * _LEAST
    if not bool(kept.any()):
        return None
    sigma = whitened.sigma[kept]
    metric = whitened.metric
    right = _round(whitened.right[:, kept], step / sigma, metric.columns, feedback=feedback)
    left = _round(whitened.left[:, kept], step / sigma, metric.rows, feedback=feedback)
    used = (left.codes != 0).any(0) & (right.codes != 0).any(0)
    if not bool(used.any()):
        return None
    values = left.values[:, used], right.values[:, used]
    coefficients, explained = _refit(whitened, *values)
    logs, signs = _to_rank_logs(coefficients * left.units[used] * right.units[used])
    order = np.argsort(-logs, kind="stable")
    codes = [_integers(side.codes[:, used])[:, order] for side in (left, right)]
    coded = CodedFactors(
        codes[0] * signs[order], codes[1], logs[order], left.scales, right.scales, RANK_FINE
    )
    return FittedFactors(coded, values[0] * coefficients.float(), values[1], explained)


def _integers(codes: torch.Tensor) -> npt.NDArray[np.int32]:
    return codes.to(torch.int32).numpy()


def _round(
    factor: torch.Tensor, steps: torch.Tensor, side: MetricFactor, *, feedback: bool
) -> _Rounded:
    """Round columns k of a factor [d, r], each on a grid of steps[k] in the metric's unit."""
    if side.factor.ndim == 1 and not side.is_flat:
        logs = to_logs(side.inverse_root.double().numpy(), SCALE_FINE)
        grid = torch.from_numpy(from_logs(logs, SCALE_FINE)).float()[:, None] * steps
        codes = dead_zone(factor / grid)
        return _Rounded(codes, codes * grid, steps, logs)
    if feedback and side.factor.ndim > 1:
        spread = side.inverse_cholesky
        # The geometric mean keeps the error's weight when it is fed back.
        units = steps * float(spread.diagonal().log().mean().exp())
        codes = fed_back(factor.T.contiguous(), units[:, None].expand(factor.T.shape), spread).T
    else:
        units = steps * float(side.diagonal.mean()) ** -0.5
        codes = dead_zone(factor / units)
    return _Rounded(codes, codes * units, units, None)


def _refit(
    whitened: WhitenedDelta, left: torch.Tensor, right: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """The coefficients c of min D(Δ - Σ cₖ leftₖ rightₖᵀ), and D(Δ) less that minimum."""
    rows, columns = whitened.metric.rows.factor, whitened.metric.columns.factor
    weighed_left, weighed_right = from_left(rows, left), from_left(columns, right)
    gram = (left.T @ weighed_left).double() * (right.T @ weighed_right).double()
    target = ((whitened.delta.T @ weighed_left).double() * weighed_right.double()).sum(0)
    scale = gram.diagonal().rsqrt()
    gram = gram * scale[:, None] * scale + 1e-6 * torch.eye(len(gram), dtype=gram.dtype)
    solved: torch.Tensor = torch.linalg.solve(gram, target * scale) * scale
    return solved, float(solved @ target)


def _to_rank_logs(coefficients: torch.Tensor) -> tuple[Logs, npt.NDArray[np.int32]]:
    values = coefficients.double().numpy()
    signs = np.where(values < 0, -1, 1).astype(np.int32)
    floor = np.abs(values).max() * 2.0**-40
    return to_logs(np.maximum(np.abs(values), floor), RANK_FINE), signs
