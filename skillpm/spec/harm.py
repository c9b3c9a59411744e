"""What a displacement of the weights costs a skill, as a share of its gain (ADRs 18 and 29).

The curvatures come from gains that manifests record, the size from `benchmarks.interference`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from skillpm.spec.manifest import Manifest
from skillpm.spec.overlap import Vector, dot

LOSS = "token_loss"
GAINS = (1e-6, 100.0)
"""The gains that are believed, in nats a token. Guessing among 200,000 tokens costs 12."""
FARTHEST = 30.0
"""A rate counts as at most this many times the usual rate, and as at least the usual / this."""
PULL = 0.5
"""How much of the square's slope towards the tuned model counts at a weight that is not 1.

Chosen on seed 0 at weight 0.5: with all of it forecasts are too small, without it they rank worse.
"""


@dataclass(frozen=True)
class HarmCurve:
    """A power law from the second-order share to the share of the gain that merging takes.

    A loss grows more slowly than a square. The law keeps the order of what it maps; 0 stays 0.
    """

    factor: float
    power: float

    def lost(self, share: float) -> float:
        """The calibrated share, of a second-order share >= 0."""
        return self.factor * float(share**self.power)


BY_GAIN = HarmCurve(0.58, 0.88)
"""Least squares of the logarithms over seed 0 of `benchmarks.interference`, by kind of merge."""
BY_LENGTH = HarmCurve(0.80, 0.56)
"""The same without gains: lengths alone say less, and the forecast stays nearer to the middle."""


def second_order(alone: Vector, merged: Vector, others: Vector, worth: float) -> float:
    """The share of its gain that a skill loses if its loss grows as the square of a distance.

    At a displacement x from the base, the loss of the skill's text is taken as least at Δ (`alone`)
    and as growing with ‖x - Δ‖². `merged` is wΔ, `others` the displacement that the rest of the
    set adds, `worth` the whole gain. All four are in one metric: vectors times the square root of
    the curvature, `worth` in nats; or curvature 1, and `worth` the squared length ‖Δ‖². The cost of
    the skill's own weight is left out. At weight 1 the share is ‖others‖² / `worth`; at other
    weights the slope towards Δ counts by `PULL`. At least 0; above 1 where the skill would be worse
    than the base.
    """
    slope = 2 * (dot(merged, others) - dot(alone, others))
    excess = dot(others, others) + PULL * slope
    return max(0.0, excess / worth)


def recorded_gain(manifest: Manifest) -> float | None:
    """The loss in nats a token that tuning took off, if the pack's probes record it.

    None for a gain outside `GAINS`, and for a pack over others: that gain is not over the base.
    """
    gains = [
        capability.base_value - capability.value
        for capability in manifest.capabilities
        if capability.metric == LOSS and capability.base_value is not None
    ]
    gain = sum(gains) / len(gains) if gains and not manifest.over else 0.0
    return gain if GAINS[0] <= gain <= GAINS[1] else None


def usual_curvature(rates: Iterable[float]) -> float:
    """The upper median of gains for each squared length; 1 where no gain is recorded.

    Of two the larger, which forecasts more harm. One false claim among several cannot move it far.
    """
    ordered = sorted(rates)
    return ordered[len(ordered) // 2] if ordered else 1.0


def curvature(rate: float | None, usual: float) -> float:
    """The curvature of the base's loss along one delta, in nats for each squared length.

    The geometric mean of the delta's own `rate` and of what is `usual`. A delta that gained much
    over a short way follows directions in which the loss is steep, and also costs others more.
    """
    if rate is None:
        return usual
    near = min(max(rate, usual / FARTHEST), usual * FARTHEST)
    return float((near * usual) ** 0.5)
