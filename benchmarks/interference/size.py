"""The ratio of the forecast to the measured cost of merging, and the calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skillpm.spec.harm import HarmCurve

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR = 0.05
"""Measured shares below this have no ratio: they are near zero or negative (merges that help)."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """Quantiles of forecast / measured over some rows, and the number of rows without a ratio.

    `small` rows were measured below the floor; `unknown` rows have no forecast.
    """

    low: float
    median: float
    high: float
    small: int
    unknown: int

    def __str__(self) -> str:
        if math.isnan(self.median):
            return "-"
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratios(forecast: Sequence[float | None], lost: Sequence[float]) -> Ratios:
    """The median ratio and its 10 % and 90 % quantiles; NaN if no row has a ratio."""
    known = [(said, was) for said, was in zip(forecast, lost, strict=True) if said is not None]
    values = [said / was for said, was in known if was >= FLOOR]
    quantiles = np.quantile(values, (0.1, 0.5, 0.9)) if values else (math.nan,) * 3
    low, median, high = map(float, quantiles)
    return Ratios(low, median, high, len(known) - len(values), len(lost) - len(known))


@dataclass(frozen=True, slots=True)
class Kind:
    """Forecasts and measured shares of one kind of merge."""

    forecast: Sequence[float | None]
    lost: Sequence[float]


def fitted(kinds: Sequence[Kind], law: HarmCurve) -> HarmCurve:
    """The power law that fits these merges, by least squares of the logarithms.

    Each kind has the same weight, whatever its number of rows. The forecasts are calibrated by
    `law`, which is undone first. Rows without a ratio are left out.
    """
    points, weights = [], []
    for kind in kinds:
        found = [
            ((math.log(said) - math.log(law.factor)) / law.power, math.log(was))
            for said, was in zip(kind.forecast, kind.lost, strict=True)
            if said and was >= FLOOR
        ]
        points += found
        weights += [len(found) ** -0.5] * len(found)
    forecast, measured = np.array(points).T
    power, factor = np.polyfit(forecast, measured, 1, w=weights)
    return HarmCurve(math.exp(factor), float(power))
