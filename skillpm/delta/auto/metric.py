"""How much an error in a tensor matters: D(E) = tr(R E C Eᵀ).

With calibration, R is the mean outer product of output gradients and C that of inputs, of the true
Fisher (Martens & Grosse 2015): D is then twice the divergence that E causes, in nats. Without,
both are multiples of the identity. Either may be a diagonal, kept as a vector.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

DAMPING = 0.003
"""Added to a factor, as a share of its mean diagonal; GPTQ's."""


@dataclass(frozen=True)
class MetricFactor:
    """One factor of the metric: a diagonal [d], or a symmetric matrix [d, d], damped."""

    factor: torch.Tensor

    @classmethod
    def of(cls, factor: torch.Tensor) -> "MetricFactor":
        """A factor, damped by its mean diagonal."""
        diagonal = factor if factor.ndim == 1 else factor.diagonal()
        extra = DAMPING * diagonal.mean().clamp_min(torch.finfo(torch.float32).tiny)
        if factor.ndim == 1:
            return cls(factor + extra)
        return cls(factor + torch.eye(len(factor)) * extra)

    @property
    def is_flat(self) -> bool:
        """Whether all coordinates count the same, each for itself."""
        return self.factor.ndim == 1 and bool((self.factor == self.factor[0]).all())

    @cached_property
    def diagonal(self) -> torch.Tensor:
        """The weight of each coordinate."""
        return self.factor if self.factor.ndim == 1 else self.factor.diagonal()

    @cached_property
    def root(self) -> torch.Tensor:
        """S with S S = factor."""
        if self.factor.ndim == 1:
            return self.factor.sqrt()
        return self._power(0.5)

    @cached_property
    def inverse_root(self) -> torch.Tensor:
        """S⁻¹."""
        if self.factor.ndim == 1:
            return self.factor.rsqrt()
        return self._power(-0.5)

    @cached_property
    def inverse_cholesky(self) -> torch.Tensor:
        """The upper U with UᵀU = factor⁻¹: how a rounding error spreads (GPTQ)."""
        lower = torch.linalg.cholesky(self.factor.double())
        inverse = torch.cholesky_inverse(lower)
        upper: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
        return upper.to(self.factor.dtype)

    def _power(self, exponent: float) -> torch.Tensor:
        values, vectors = self._eigen
        return (vectors * values**exponent) @ vectors.T

    @cached_property
    def _eigen(self) -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = torch.linalg.eigh(self.factor)
        return values.clamp_min(float(values[-1]) * 1e-7), vectors


def from_left(factor: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Factor · matrix, for a diagonal or a whole factor."""
    return factor[:, None] * matrix if factor.ndim == 1 else factor @ matrix


def from_right(matrix: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Matrix · factor."""
    return matrix * factor if factor.ndim == 1 else matrix @ factor


@dataclass(frozen=True)
class ErrorMetric:
    """The two factors for a tensor [m, n]."""

    rows: MetricFactor
    columns: MetricFactor

    @classmethod
    def flat(cls, shape: tuple[int, int], weight: float) -> "ErrorMetric":
        """Every entry counts `weight`."""
        rows = torch.full((shape[0],), weight)
        return cls(MetricFactor(rows), MetricFactor(torch.ones(shape[1])))

    def distortion(self, error: torch.Tensor) -> float:
        """D(E)."""
        spread = from_right(from_left(self.rows.factor, error), self.columns.factor)
        return float((spread.double() * error.double()).sum())


class Weighting(Protocol):
    """Says how much errors matter, tensor by tensor."""

    @property
    def settings(self) -> dict[str, object]:
        """As the manifest records it."""
        ...

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """The metric for a delta [m, n]; a vector is one row."""
        ...
