"""Candidates by singular factors: `svd-ec`.

The decomposition is that of the whitened delta Nᵀ Δ M = U S Vᵀ, where N Nᵀ = R and M Mᵀ = C, so
truncation drops what matters least under the metric. The factors are transformed back and rounded
in the coordinates of the decoder: column k of N⁻ᵀU and of M⁻ᵀV with a step in proportion to 1/Sₖ,
which gives the error of every entry the same weight (reverse water-filling: one step for all
tensors determines ranks and bits). Rounding feeds its errors back under R and C. Finally one
coefficient per rank is refitted by least squares under the metric.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from skillpm.delta.auto.deadzone import dead_zone, fed_back
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor, multiply_left
from skillpm.delta.auto.profile import scaled_vectors
from skillpm.delta.codecs.shared.scales import Logs, from_logs, to_logs
from skillpm.delta.codecs.svd_ec import CodedFactors

RANK_FINE = 7
"""Coefficients of ranks have 2^7 steps per octave."""
SCALE_FINE = 2
"""Scales of rows and columns have 2^2 steps per octave."""
_LEAST = 0.5
"""Singular values below this many steps are dropped; they would round to zero."""


@dataclass(frozen=True)
class WhitenedDelta:
    """A delta [m, n] decomposed under its metric: N⁻ᵀU [m, r], S [r], M⁻ᵀV [n, r]."""

    delta: torch.Tensor
    metric: ErrorMetric
    left: torch.Tensor
    sigma: torch.Tensor
    right: torch.Tensor

    @classmethod
    def of(cls, delta: torch.Tensor, metric: ErrorMetric) -> "WhitenedDelta":
        """Decompose a delta. Costs O(m·n·min(m, n))."""
        whitened = metric.columns.whiten(metric.rows.whiten(delta).T).T
        left, sigma, right = scaled_vectors(whitened)
        left = metric.rows.unwhiten(left / sigma)
        return cls(delta, metric, left, sigma, metric.columns.unwhiten(right / sigma))

    def truncate(self, threshold: float) -> "WhitenedDelta | None":
        """Keep the singular values above `threshold`, and their vectors; None if there are none."""
        kept = self.sigma > threshold
        if not bool(kept.any()):
            return None
        return WhitenedDelta(
            self.delta, self.metric, self.left[:, kept], self.sigma[kept], self.right[:, kept]
        )


class _Rounded(NamedTuple):
    """Codes [d, r], the values they decode to, one step per rank [r], and scales of rows [d]."""

    codes: torch.Tensor
    values: torch.Tensor
    units: torch.Tensor
    scales: Logs | None


def code_factors(whitened: WhitenedDelta, step: float, *, feedback: bool) -> CodedFactors | None:
    """Round the factors with one step; None if all of them round to zero."""
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
    coefficients = _refit(whitened, left.values[:, used], right.values[:, used])
    logs, signs = _to_rank_logs(coefficients * left.units[used] * right.units[used])
    order = np.argsort(-logs, kind="stable")
    codes = [_integers(side.codes[:, used])[:, order] for side in (left, right)]
    return CodedFactors(
        codes[0] * signs[order], codes[1], logs[order], left.scales, right.scales, RANK_FINE
    )


def _integers(codes: torch.Tensor) -> npt.NDArray[np.int32]:
    return codes.to(torch.int32).cpu().numpy()


def factor_scales(side: MetricFactor) -> Logs | None:
    """Return the logarithms of the scales of one factor's rows; None if it has none."""
    if side.factor.ndim > 1 or side.is_flat:
        return None
    return to_logs(side.factor.rsqrt().double().cpu().numpy(), SCALE_FINE)


def _round(
    factor: torch.Tensor, steps: torch.Tensor, side: MetricFactor, *, feedback: bool
) -> _Rounded:
    """Round column k of a factor [d, r] with the step steps[k], in the metric's unit."""
    logs = factor_scales(side)
    if logs is not None:
        scales = torch.from_numpy(from_logs(logs, SCALE_FINE)).float().to(factor.device)
        grid = scales[:, None] * steps
        codes = dead_zone(factor / grid)
        return _Rounded(codes, codes * grid, steps, logs)
    if feedback and side.factor.ndim > 1:
        spread = side.inverse_cholesky
        # The geometric mean preserves the weight of the error under feedback.
        units = steps * float(spread.diagonal().log().mean().exp())
        codes = fed_back(factor.T.contiguous(), units[:, None].expand(factor.T.shape), spread).T
    else:
        units = steps * float(side.diagonal.mean()) ** -0.5
        codes = dead_zone(factor / units)
    return _Rounded(codes, codes * units, units, None)


def _refit(whitened: WhitenedDelta, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the coefficients c [r] of min D(Δ - Σ cₖ leftₖ rightₖᵀ).

    Costs O(m·n·r) and the solution of a system [r, r].
    """
    rows, columns = whitened.metric.rows.factor, whitened.metric.columns.factor
    weighed_left, weighed_right = multiply_left(rows, left), multiply_left(columns, right)
    gram = (left.T @ weighed_left).double() * (right.T @ weighed_right).double()
    target = ((whitened.delta.T @ weighed_left).double() * weighed_right.double()).sum(0)
    scale = gram.diagonal().rsqrt()
    gram = gram * scale[:, None] * scale
    gram.diagonal().add_(1e-6)  # keeps the system regular
    solved: torch.Tensor = torch.linalg.solve(gram, target * scale) * scale
    return solved


def _to_rank_logs(coefficients: torch.Tensor) -> tuple[Logs, npt.NDArray[np.int32]]:
    """Return the logarithms of the magnitudes of coefficients [r], and their signs [r]."""
    values = coefficients.double().cpu().numpy()
    signs = np.where(values < 0, -1, 1).astype(np.int32)
    floor = np.abs(values).max() * 2.0**-40
    return to_logs(np.maximum(np.abs(values), floor), RANK_FINE), signs
