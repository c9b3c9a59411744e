"""Candidate predictors of the harm of a merge, from norms, cosine and overlap of the deltas."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from safetensors.torch import load_file

from skillpm.spec.harm import recorded_gain, usual_curvature
from skillpm.spec.overlap import Delta, delta_of, dot, overlap, total

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.interference.measure import Row, World


@dataclass(frozen=True, slots=True)
class Meeting:
    """A victim's Δi and the sum of the other deltas, Δj: ‖Δi‖², ‖Δj‖², ⟨Δi, Δj⟩; the overlap.

    `gain` is the decrease of the probe's loss in the victim's manifest. `usual` is the upper median
    of the set's gains per squared norm.
    """

    own: float
    added: float
    inner: float
    shared: float
    gain: float
    usual: float

    @property
    def ratio(self) -> float:
        """‖Δj‖ / ‖Δi‖."""
        return math.sqrt(self.added / self.own)

    @property
    def turn(self) -> float:
        """The cosine of Δi and Δj."""
        return self.inner / math.sqrt(self.added * self.own)


def quadratic(kappa: float) -> Callable[[Meeting], float]:
    """The excess of ‖x - (1+κ)Δi‖² at x = Δi + Δj over that at Δi, in units of the gain.

    κ > 0: the tuned model stopped before its optimum, so a delta in the same direction helps.
    """
    return lambda m: (m.added - 2 * kappa * m.inner) / ((1 + 2 * kappa) * m.own)


UNCALIBRATED = "‖Δj‖² · usual curvature / recorded gain (ADR 18)"
PREDICTORS: dict[str, Callable[[Meeting], float]] = {
    "overlap": lambda m: m.shared,
    "1 - cos": lambda m: 1 - m.turn,
    "‖Δj‖": lambda m: m.added,
    "‖Δj‖/‖Δi‖, or its square": lambda m: m.ratio,
    "overlap · ‖Δj‖/‖Δi‖ · (1 - cos)": lambda m: m.shared * m.ratio * (1 - m.turn),
    "second order, κ = 0.25": quadratic(0.25),
    "second order, κ = 0.5": quadratic(0.5),
    "second order, κ = 1": quadratic(1.0),
    "second order, κ = 0.5, times overlap": lambda m: m.shared * quadratic(0.5)(m),
    "‖Δj‖² / recorded gain": lambda m: m.added / m.gain,
    UNCALIBRATED: lambda m: m.usual * m.added / m.gain,
}


def spearman(one: list[float], other: list[float]) -> float:
    """Rank correlation; ties share their mean rank. NaN if one side is constant."""
    if 1 in (len(set(one)), len(set(other))):
        return math.nan
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: list[float]) -> list[float]:
    array = np.array(values)
    return [float((array < one).sum() + ((array == one).sum() - 1) / 2) for one in values]


def meeting(found: World, row: Row) -> Meeting:
    """The figures from the manifests of a row's packs."""
    own = delta_of(found.manifests[row.victim])
    others = [delta_of(found.manifests[name]) for name in row.others]
    elements = {tensor: size for one in others for tensor, size in one.elements.items()}
    added = Delta(total([one.sketch for one in others]), elements)
    squares = (dot(own.sketch, own.sketch), dot(added.sketch, added.sketch))
    inner = dot(own.sketch, added.sketch)
    gains, usual = _gains(found, row)
    return Meeting(*squares, inner, overlap(own, added), gains[row.victim], usual)


def _gains(found: World, row: Row) -> tuple[dict[str, float], float]:
    """The recorded gains of a row's skills, and the usual gain per squared norm."""
    names = (row.victim, *row.others)
    gains = {name: recorded_gain(found.manifests[name]) or math.nan for name in names}
    sketches = {name: delta_of(found.manifests[name]).sketch for name in names}
    return gains, usual_curvature(gains[name] / dot(one, one) for name, one in sketches.items())


class Exact:
    """As `meeting`, but from exact deltas, which shows the sketch's error."""

    def __init__(self, found: World) -> None:
        self._found = found
        before = _line(found.base)
        self._deltas = {name: _line(folder) - before for name, folder in found.tuned.items()}

    def meeting(self, row: Row) -> Meeting:
        """The same figures without the sketch's error."""
        own, rough = self._deltas[row.victim], meeting(self._found, row)
        added = np.sum([self._deltas[name] for name in row.others], axis=0)
        squares = float(own @ own), float(added @ added)
        return replace(rough, own=squares[0], added=squares[1], inner=float(own @ added))


def _line(folder: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    tensors = load_file(folder / "model.safetensors")
    return np.concatenate([tensors[name].double().numpy().ravel() for name in sorted(tensors)])
