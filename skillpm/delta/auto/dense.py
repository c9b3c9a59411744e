"""Candidates that are coded entry by entry: `grid` with a dead zone, and `sign`."""

import numpy as np
import torch

from skillpm.delta.auto.deadzone import dead_zone, fed_back
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs.grid import LEVELS, CodedGrid
from skillpm.delta.codecs.shared.classes import Codes, Narrow
from skillpm.delta.codecs.shared.coded import narrow
from skillpm.delta.codecs.shared.scales import Logs, from_logs, to_logs
from skillpm.delta.codecs.sign import CodedSigns

SCALE_FINE = 2
"""Scales of rows and columns have 2^2 steps per octave."""
SIGN_FINE = 6
"""Row scales of `sign` have 2^6 steps per octave."""
TOP = 1 << 20
"""The largest code; magnitudes beyond it are cut off. A survey offers no step that needs it."""


def code_grid(
    delta: torch.Tensor,
    metric: ErrorMetric,
    step: float,
    *,
    feedback: bool,
    ulps: torch.Tensor | None = None,
) -> CodedGrid | None:
    """Round [m, n] so that the error of every entry has the same weight; None if all round to zero.

    The step of an entry is `step` divided by the square root of the weights of its row and column.
    `ulps` [m, n] are those of the reference, if they are known.
    """
    coder = GridCoder((delta.shape[0], delta.shape[1]), metric, step, feedback=feedback)
    coder.add(0, delta, ulps)
    return coder.coded()


class GridCoder:
    """Rounds a matrix [m, n] a few rows at a time; holds only its integers in memory."""

    def __init__(
        self, shape: tuple[int, int], metric: ErrorMetric, step: float, *, feedback: bool = False
    ) -> None:
        self._metric = metric
        self._feedback = feedback and metric.columns.factor.ndim > 1
        self._rows, self._columns = grid_scales(metric, feedback=feedback)
        self._unit = step * _flat_unit(metric.rows) * _flat_unit(metric.columns)
        self._codes: Narrow = np.zeros(shape, dtype=np.int8)
        self._device = metric.rows.factor.device
        self._sums = torch.zeros(2, LEVELS, dtype=torch.float64, device=self._device)

    def add(self, first: int, delta: torch.Tensor, ulps: torch.Tensor | None = None) -> None:
        """Round the rows from `first` on.

        Levels are centroids, of the entries whose `ulps` are below the step: the others are rounded
        to whole ulps by the graft. Under a full factor of the metric, which centroids ignore,
        levels are whole steps.
        """
        rows = slice(first, first + len(delta))
        grid = self._grid(rows, delta.shape)
        values = delta / grid
        if self._feedback:
            codes = fed_back(delta, grid, self._metric.columns.inverse_cholesky)
        else:
            codes = dead_zone(values)
        codes = codes.clamp(-TOP, TOP)
        self._store(rows, codes.to(torch.int32).cpu().numpy())
        diagonal = self._metric.rows.diagonal
        row_weights = diagonal if len(diagonal) == 1 else diagonal[rows]
        weights = row_weights[:, None] * self._metric.columns.diagonal * grid.square()
        if ulps is not None:
            weights = weights * (ulps < grid)
        if all(side.factor.ndim == 1 for side in self._metric.sides):
            self._sums += _centroid_sums(values, codes, weights)

    def _store(self, rows: slice, codes: Codes) -> None:
        """Hold integers as int8 as long as all of them fit."""
        if self._codes.dtype == np.int8 and narrow(codes).dtype != np.int8:
            self._codes = self._codes.astype(np.int32)
        self._codes[rows] = codes

    def _grid(self, rows: slice, shape: torch.Size) -> torch.Tensor:
        """Return the step of every entry of the rows, [k, n]."""
        grid = torch.full((1, 1), self._unit, device=self._device).expand(shape)
        if self._rows is not None:
            scales = self._placed(self._rows)
            grid = grid * (scales if len(scales) == 1 else scales[rows])[:, None]
        if self._columns is not None:
            grid = grid * self._placed(self._columns)
        return grid

    def _placed(self, logs: Logs) -> torch.Tensor:
        """Return scales [d] on the device of the metric, float32."""
        return torch.from_numpy(from_logs(logs, SCALE_FINE)).float().to(self._device)

    def coded(self) -> CodedGrid | None:
        """Return the coded matrix; None if all codes are zero."""
        if not self._codes.any():
            return None
        levels = [self._unit * centroid for centroid in _centroids(self._sums)]
        scales = self._rows, self._columns
        return CodedGrid(self._codes, np.array([self._unit, *levels]), *scales, SCALE_FINE)


def grid_scales(metric: ErrorMetric, *, feedback: bool) -> tuple[Logs | None, Logs | None]:
    """Return the logarithms of the scales of rows and of columns; None for a flat side."""
    return _scales(metric.rows, feedback=False), _scales(metric.columns, feedback=feedback)


def _flat_unit(side: MetricFactor) -> float:
    return float(side.diagonal[0]) ** -0.5 if side.is_flat else 1.0


def _scales(side: MetricFactor, *, feedback: bool) -> Logs | None:
    """Return the logarithms of 1 / √weight of each coordinate; None if all weights are equal.

    With feedback, the weight is what remains after other coordinates compensate the error.
    """
    if side.is_flat:
        return None
    if feedback and side.factor.ndim > 1:
        return to_logs(side.inverse_cholesky.diagonal().double().cpu().numpy(), SCALE_FINE)
    return to_logs(side.diagonal.rsqrt().double().cpu().numpy(), SCALE_FINE)


def _centroid_sums(
    values: torch.Tensor, codes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Sum weights and weighted magnitudes of the entries under each small code, [2, LEVELS]."""
    flat = codes.reshape(-1)
    places = flat.nonzero().squeeze(1)
    kept, moved = flat[places], values.reshape(-1)[places]
    weight = weights.expand(values.shape).reshape(-1)[places].double()
    bins = kept.abs().clamp_max(LEVELS + 1).long()
    totals = [
        torch.bincount(bins, weights=each, minlength=LEVELS + 2)[1 : LEVELS + 1]
        for each in (weight, weight * moved * kept.sign())
    ]
    return torch.stack(totals)


def _centroids(sums: torch.Tensor) -> list[float]:
    """Return the mean magnitude under each small code, in steps, weighted by the metric.

    Without sums, it is the code itself.
    """
    centroids: list[float] = []
    for magnitude, (weight, total) in enumerate(sums.T.cpu().tolist(), start=1):
        mean = total / (weight or 1.0)
        centroids.append(min(max(mean, magnitude - 0.5), magnitude + 0.5) if weight else magnitude)
    return centroids


def code_signs(delta: torch.Tensor, metric: ErrorMetric) -> CodedSigns | None:
    """Code signs, with the row scales that are nearest under the weights of the columns.

    None if a row is zero.
    """
    weights = metric.columns.diagonal
    means = (delta.abs() * weights).sum(1) / weights.sum()
    if not bool((means > 0).all()):
        return None
    rows = to_logs(means.double().cpu().numpy(), SIGN_FINE)
    return CodedSigns((delta < 0).cpu().numpy(), rows, None, SIGN_FINE)
