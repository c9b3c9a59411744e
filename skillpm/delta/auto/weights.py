"""Metrics without data, and metrics that a calibration measured."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.tensors.module_kinds import kind_of

VECTOR_WEIGHT = 16.0
"""One entry of a norm or a bias meets every token, and stands for a row of a matrix."""


@dataclass(frozen=True)
class Unweighted:
    """No data: every entry of every matrix counts the same, those of vectors more.

    So one step holds for the whole model: absolute errors, not relative ones, are what a loss
    sees where nothing else is known (`docs/adr/0009`).
    """

    @property
    def settings(self) -> dict[str, object]:
        """Nothing to say."""
        return {}

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """The identity."""
        vector = shape[0] == 1 or kind_of(tensor) == "norm"
        return ErrorMetric.flat(shape, VECTOR_WEIGHT if vector else 1.0)


@dataclass(frozen=True)
class Kronecker:
    """The Fisher factors of one tensor; whole or diagonal. A vector has no `rows`."""

    rows: torch.Tensor | None
    columns: torch.Tensor


@dataclass(frozen=True)
class Calibrated:
    """Metrics from Fisher factors. `load` gives those of a tensor, None where it has no part."""

    load: Callable[[str], Kronecker | None]
    facts: dict[str, object]

    @property
    def settings(self) -> dict[str, object]:
        """What it was measured on."""
        return dict(self.facts)

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """The factors, damped; next to nothing where the calibration never met the tensor."""
        found = self.load(tensor)
        if found is None or not float(
            found.columns.diagonal().sum() if found.columns.ndim > 1 else found.columns.sum()
        ):
            return ErrorMetric.flat(shape, torch.finfo(torch.float32).tiny * 2**20)
        rows = torch.ones(1) if found.rows is None else found.rows
        return ErrorMetric(MetricFactor.of(rows), MetricFactor.of(found.columns))
