"""The error metric of a tensor: D(E) = tr(R E C Eᵀ) for an error E [m, n].

With calibration, R [m, m] is the mean outer product of output gradients and C [n, n] that of
inputs, from the true Fisher (K-FAC: Martens & Grosse 2015, arXiv 1503.05671). D(E) is then twice
the divergence that E causes, in nats. Without calibration, both are multiples of the identity. A
diagonal factor is stored as a vector.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from skillpm.delta.encoding.torch_device import ComputeDevice

DAMPING = 0.5
"""Added to the diagonal of a full factor, as a share of its mean. It counters the noise of factors
of some thousand tokens (ADR 43); GPTQ uses 0.01 with about 64 times as many tokens."""
DIAGONAL_DAMPING = 0.003
"""The same for a diagonal factor, whose small entries are tokens that the text does not have."""


@dataclass(frozen=True)
class MetricFactor:
    """A factor of the metric: a diagonal [d], or a symmetric positive definite matrix [d, d]."""

    factor: torch.Tensor

    @classmethod
    def of(cls, factor: torch.Tensor) -> "MetricFactor":
        """Damp a factor by a share of its mean diagonal: `DAMPING`, or `DIAGONAL_DAMPING`."""
        diagonal = factor if factor.ndim == 1 else factor.diagonal()
        share = DIAGONAL_DAMPING if factor.ndim == 1 else DAMPING
        extra = share * diagonal.mean().clamp_min(torch.finfo(torch.float32).tiny)
        if factor.ndim == 1:
            return cls(factor + extra)
        return cls(factor + torch.eye(len(factor), device=factor.device) * extra)

    @property
    def is_flat(self) -> bool:
        """Whether the factor is a multiple of the identity."""
        return self.factor.ndim == 1 and bool((self.factor == self.factor[0]).all())

    @cached_property
    def diagonal(self) -> torch.Tensor:
        """The weight of each coordinate, [d]."""
        return self.factor if self.factor.ndim == 1 else self.factor.diagonal()

    @property
    def size(self) -> int:
        """The number of coordinates; 1 if the weight of one stands for all."""
        return len(self.factor)

    def whiten(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return Nᵀ · matrix [d, k], where N Nᵀ is the factor. Costs O(d²·k) for a full factor."""
        if self.factor.ndim == 1:
            return self.factor.sqrt()[:, None] * matrix
        whitened: torch.Tensor = self.upper.T @ matrix
        return whitened

    def unwhiten(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return N⁻ᵀ · matrix [d, k], the inverse of `whiten`."""
        if self.factor.ndim == 1:
            return self.factor.rsqrt()[:, None] * matrix
        solved: torch.Tensor = torch.linalg.solve_triangular(self.upper.T, matrix, upper=False)
        return solved

    @cached_property
    def upper(self) -> torch.Tensor:
        """The upper triangular N with N Nᵀ = factor, for a full factor. Computed in float64.

        N[i, i]² is the weight of coordinate i after the later ones compensate its error.
        """
        flipped = torch.linalg.cholesky(self.factor.flip(0, 1).double())
        upper: torch.Tensor = flipped.flip(0, 1).to(self.factor.dtype)
        return upper

    @cached_property
    def inverse_cholesky(self) -> torch.Tensor:
        """The upper triangular U with UᵀU = factor⁻¹, by which GPTQ distributes rounding errors."""
        upper = self.upper.double()
        unit = torch.eye(len(upper), dtype=upper.dtype, device=upper.device)
        inverse: torch.Tensor = torch.linalg.solve_triangular(upper, unit, upper=True)
        return inverse.to(self.factor.dtype)


def multiply_left(factor: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Return factor · matrix, for a diagonal or a full factor."""
    return factor[:, None] * matrix if factor.ndim == 1 else factor @ matrix


def multiply_right(matrix: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return matrix · factor, for a diagonal or a full factor."""
    return matrix * factor if factor.ndim == 1 else matrix @ factor


@dataclass(frozen=True)
class ErrorMetric:
    """The two factors of a tensor [m, n]: `rows` is R, `columns` is C."""

    rows: MetricFactor
    columns: MetricFactor

    @property
    def sides(self) -> tuple[MetricFactor, MetricFactor]:
        """Both factors."""
        return self.rows, self.columns

    @classmethod
    def flat(cls, shape: tuple[int, int], weight: float) -> "ErrorMetric":
        """Give every entry the weight `weight`."""
        rows = torch.full((shape[0],), weight)
        return cls(MetricFactor(rows), MetricFactor(torch.ones(shape[1])))

    def on(self, device: ComputeDevice) -> "ErrorMetric":
        """Return the metric with its factors on a device."""
        return ErrorMetric(*(MetricFactor(device.place(side.factor)) for side in self.sides))

    def distortion(self, error: torch.Tensor) -> float:
        """Return D(E) for an error E [m, n]."""
        spread = multiply_right(multiply_left(self.rows.factor, error), self.columns.factor)
        return float((spread.double() * error.double()).sum())


class Weighting(Protocol):
    """Provides the error metric of each tensor."""

    @property
    def settings(self) -> dict[str, object]:
        """The settings to record in the manifest."""
        ...

    @property
    def key(self) -> str:
        """A text that differs between weightings with different metrics."""
        ...

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """Return the metric of a delta [m, n]; a vector is one row."""
        ...
