"""Candidates entry by entry: `grid` with a dead zone, and `sign`."""

import numpy as np
import torch

from skillpm.delta.auto.deadzone import dead_zone, fed_back
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs.grid import LEVELS, CodedGrid
from skillpm.delta.codecs.shared.scales import Logs, from_logs, to_logs
from skillpm.delta.codecs.sign import CodedSigns

SCALE_FINE = 2
SIGN_FINE = 6
_TOP = 1 << 20
"""Larger codes are no compression."""


def code_grid(
    delta: torch.Tensor, metric: ErrorMetric, step: float, *, feedback: bool
) -> CodedGrid | None:
    """Round [m, n] so that every entry's error weighs the same; None where nothing is left.

    The step of an entry is `step` over the root of what its row and its column count.
    """
    coder = GridCoder((delta.shape[0], delta.shape[1]), metric, step, feedback=feedback)
    coder.add(0, delta)
    return coder.coded()


class GridCoder:
    """Rounds a matrix [m, n] some rows at a time; no more than its integers are held."""

    def __init__(
        self, shape: tuple[int, int], metric: ErrorMetric, step: float, *, feedback: bool = False
    ) -> None:
        self._metric = metric
        self._feedback = feedback and metric.columns.factor.ndim > 1
        self._rows = _scales(metric.rows, feedback=False)
        self._columns = _scales(metric.columns, feedback=feedback)
        self._unit = step * _flat_unit(metric.rows) * _flat_unit(metric.columns)
        self._codes = np.zeros(shape, dtype=np.int32)
        self._sums = torch.zeros(2, LEVELS, dtype=torch.float64)
        self._fits = True

    def add(self, first: int, delta: torch.Tensor) -> None:
        """Round the rows from `first` on."""
        some = slice(first, first + len(delta))
        grid = self._grid(some, delta.shape)
        values = delta / grid
        if not self._fits or float(values.abs().max()) > _TOP:
            self._fits = False
            return
        if self._feedback:
            codes = fed_back(delta, grid, self._metric.columns.inverse_cholesky)
        else:
            codes = dead_zone(values)
        self._codes[some] = codes.to(torch.int32).numpy()
        diagonal = self._metric.rows.diagonal
        rows = diagonal if len(diagonal) == 1 else diagonal[some]
        weights = rows[:, None] * self._metric.columns.diagonal * grid.square()
        self._sums += _centroid_sums(values, codes, weights)

    def _grid(self, some: slice, shape: torch.Size) -> torch.Tensor:
        grid = torch.full((1, 1), self._unit).expand(shape)
        if self._rows is not None:
            scales = from_logs(self._rows, SCALE_FINE)
            grid = (
                grid
                * torch.from_numpy(scales if len(scales) == 1 else scales[some]).float()[:, None]
            )
        if self._columns is not None:
            grid = grid * torch.from_numpy(from_logs(self._columns, SCALE_FINE)).float()
        return grid

    def coded(self) -> CodedGrid | None:
        """All rows; None where nothing is left, or where codes are too large to save any."""
        if not self._fits or not self._codes.any():
            return None
        levels = [self._unit * one for one in _centroids(self._sums)]
        scales = self._rows, self._columns
        return CodedGrid(self._codes, np.array([self._unit, *levels]), *scales, SCALE_FINE)


def _flat_unit(side: MetricFactor) -> float:
    return float(side.diagonal[0]) ** -0.5 if side.is_flat else 1.0


def _scales(side: MetricFactor, *, feedback: bool) -> Logs | None:
    """1 / √weight of each coordinate; what is left of it once the others make its error good."""
    if side.is_flat:
        return None
    if feedback and side.factor.ndim > 1:
        return to_logs(side.inverse_cholesky.diagonal().double().numpy(), SCALE_FINE)
    return to_logs(side.diagonal.rsqrt().double().numpy(), SCALE_FINE)


def _centroid_sums(
    values: torch.Tensor, codes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Under each small code, the weights and the weighed magnitudes [2, LEVELS], summed."""
    sums = torch.zeros(2, LEVELS, dtype=torch.float64)
    sizes = codes.abs()
    for magnitude in range(1, LEVELS + 1):
        here = sizes == magnitude
        weight = weights[here]
        sums[0, magnitude - 1] = weight.sum()
        sums[1, magnitude - 1] = (weight * values[here] * codes[here].sign()).sum()
    return sums


def _centroids(sums: torch.Tensor) -> list[float]:
    """The mean magnitude under each small code, every entry weighed by D and its own step."""
    found: list[float] = []
    for magnitude, (weight, total) in enumerate(sums.T.tolist(), start=1):
        mean = total / (weight or 1.0)
        found.append(min(max(mean, magnitude - 0.5), magnitude + 0.5) if weight else magnitude)
    return found


def code_signs(delta: torch.Tensor, metric: ErrorMetric) -> CodedSigns | None:
    """Signs, with the row scales that are nearest under the weights of the columns."""
    weights = metric.columns.diagonal
    means = (delta.abs() * weights).sum(1) / weights.sum()
    if not bool((means > 0).all()):
        return None
    rows = to_logs(means.double().numpy(), SIGN_FINE)
    return CodedSigns((delta < 0).numpy(), rows, None, SIGN_FINE)
