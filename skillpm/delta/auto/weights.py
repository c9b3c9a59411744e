"""Error metrics without data, and metrics from Fisher factors measured on calibration text."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.tensors.module_kinds import kind_of

VECTOR_WEIGHT = 16.0
"""The weight of an entry of a norm or bias: it affects every token, as a whole row of a matrix
does."""


@dataclass(frozen=True)
class Unweighted:
    """The metric without data: all entries of matrices have the same weight, vectors a higher one.

    So one step is used for the whole model: without data, the loss depends on absolute errors, not
    on relative ones (`docs/adr/0009`).
    """

    @property
    def settings(self) -> dict[str, object]:
        """No settings."""
        return {}

    @property
    def key(self) -> str:
        """A constant: nothing but the tensors determines the metrics."""
        return "unweighted"

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """Return a multiple of the identity."""
        vector = shape[0] == 1 or kind_of(tensor) == "norm"
        return ErrorMetric.flat(shape, VECTOR_WEIGHT if vector else 1.0)


@dataclass(frozen=True)
class Kronecker:
    """The Fisher factors of one tensor, `rows` [m, m] or [m] and `columns` [n, n] or [n].

    A vector has no `rows`.
    """

    rows: torch.Tensor | None
    columns: torch.Tensor


@dataclass(frozen=True)
class Calibrated:
    """Metrics from Fisher factors. `load` returns those of a tensor, None if it has none.

    `key` is a hash of everything that determines the factors.
    """

    load: Callable[[str], Kronecker | None]
    facts: dict[str, object]
    key: str

    @property
    def settings(self) -> dict[str, object]:
        """The facts of the calibration."""
        return dict(self.facts)

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """Return the damped factors; a tiny weight if the calibration never reached the tensor."""
        factors = self.load(tensor)
        if factors is None or not float(
            factors.columns.diagonal().sum() if factors.columns.ndim > 1 else factors.columns.sum()
        ):
            return ErrorMetric.flat(shape, torch.finfo(torch.float32).tiny * 2**20)
        rows = torch.ones(1) if factors.rows is None else factors.rows
        return ErrorMetric(MetricFactor.of(rows), MetricFactor.of(factors.columns))
