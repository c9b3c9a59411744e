"""Candidates entry by entry: `grid` with a dead zone, and `sign`."""

import numpy as np
import torch

from skillpm.delta.auto.deadzone import dead_zone, fed_back
from skillpm.delta.auto.metric import Metric, Side
from skillpm.delta.codecs.grid import LEVELS, CodedGrid
from skillpm.delta.codecs.scales import Logs, from_logs, to_logs
from skillpm.delta.codecs.sign import CodedSigns

SCALE_FINE = 2
SIGN_FINE = 6
_TOP = 1 << 20
"""Larger codes are no compression."""


def code_grid(
    delta: torch.Tensor, metric: Metric, step: float, *, feedback: bool
) -> CodedGrid | None:
    """Round [m, n] so that every entry's error weighs the same; None where nothing is left.

    The step of an entry is `step` over the root of what its row and its column count.
    """
    rows, columns = _scales(metric.rows, feedback=False), _scales(metric.columns, feedback=feedback)
    unit = step * _flat_unit(metric.rows) * _flat_unit(metric.columns)
    grid = torch.full((1, 1), unit).expand(delta.shape)
    if rows is not None:
        grid = grid * torch.from_numpy(from_logs(rows, SCALE_FINE)).float()[:, None]
    if columns is not None:
        grid = grid * torch.from_numpy(from_logs(columns, SCALE_FINE)).float()
    if float((delta.abs() / grid).max()) > _TOP:
        return None
    if feedback and metric.columns.factor.ndim > 1:
        codes = fed_back(delta, grid, metric.columns.inverse_cholesky)
    else:
        codes = dead_zone(delta / grid)
    if not bool(codes.any()):
        return None
    levels = [unit * one for one in _centroids(delta / grid, codes, metric, grid)]
    integers = codes.to(torch.int32).numpy()
    return CodedGrid(integers, np.array([unit, *levels]), rows, columns, SCALE_FINE)


def _flat_unit(side: Side) -> float:
    return float(side.diagonal[0]) ** -0.5 if side.is_flat else 1.0


def _scales(side: Side, *, feedback: bool) -> Logs | None:
    """1 / √weight of each coordinate; what is left of it once the others make its error good."""
    if side.is_flat:
        return None
    if feedback and side.factor.ndim > 1:
        return to_logs(side.inverse_cholesky.diagonal().double().numpy(), SCALE_FINE)
    return to_logs(side.diagonal.rsqrt().double().numpy(), SCALE_FINE)


def _centroids(
    values: torch.Tensor, codes: torch.Tensor, metric: Metric, grid: torch.Tensor
) -> list[float]:
    """The mean magnitude under each small code, every entry weighed by D and its own step."""
    weights = metric.rows.diagonal[:, None] * metric.columns.diagonal * grid.square()
    found: list[float] = []
    for magnitude in range(1, LEVELS + 1):
        here = codes.abs() == magnitude
        weight = float(weights[here].sum())
        mean = float((weights[here] * values[here] * codes[here].sign()).sum()) / (weight or 1.0)
        found.append(min(max(mean, magnitude - 0.5), magnitude + 0.5) if weight else magnitude)
    return found


def code_signs(delta: torch.Tensor, metric: Metric) -> CodedSigns | None:
    """Signs, with the row scales that are nearest under the weights of the columns."""
    weights = metric.columns.diagonal
    means = (delta.abs() * weights).sum(1) / weights.sum()
    if not bool((means > 0).all()):
        return None
    rows = to_logs(means.double().numpy(), SIGN_FINE)
    return CodedSigns((delta < 0).numpy(), rows, None, SIGN_FINE)
