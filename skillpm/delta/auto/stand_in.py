"""Full metrics that take as long as those of a calibration, for estimates of its cost."""

from dataclasses import dataclass

import torch

from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.weights import WIDEST

_SPREAD = 2.0
"""Eigenvalues of a stand-in fall as i^-_SPREAD, from 1 to `_LEAST`."""
_LEAST = 1e-3


@dataclass(frozen=True)
class StandIn:
    """Metrics whose factors have rotated, falling eigenvalues, as Fisher factors do."""

    @property
    def settings(self) -> dict[str, object]:
        """As long as those of a calibration in a manifest."""
        return {"calibration": "sha256:" + "0" * 64, "tokens": 100_000}

    @property
    def key(self) -> str:
        """A constant: only the shape determines the metric."""
        return "stand-in"

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:  # noqa: ARG002 - the protocol's form
        """Return a factor for each side: full, or a diagonal if the side is long."""
        return ErrorMetric(*(MetricFactor.of(_factor(side)) for side in shape))


def _factor(side: int) -> torch.Tensor:
    values = (torch.arange(side) + 1.0).pow(-_SPREAD).clamp_min(_LEAST)
    if side > WIDEST or side == 1:
        return values
    mirror = torch.linspace(-1.0, 1.0, side)
    mirror /= mirror.norm()
    # A reflection H = I - 2vvᵀ rotates the eigenvectors: H diag(values) H.
    scaled = values[:, None] * torch.eye(side)
    left = scaled - 2 * torch.outer(mirror, mirror @ scaled)
    return left - 2 * torch.outer(left @ mirror, mirror)
