"""The share of its gain that a skill loses to a displacement of the weights (ADRs 18 and 29).

Curvatures are estimated from the gains that manifests record. The constants of `HarmCurve` are
fitted to `benchmarks.interference`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from skillpm.spec.manifest import Manifest
from skillpm.spec.overlap import Vector, dot

LOSS = "token_loss"
GAINS = (1e-6, 100.0)
"""Plausible gains, in nats per token. Guessing among 200,000 tokens costs 12 nats."""
FARTHEST = 30.0
"""A rate is clipped to the usual rate times this, and to the usual rate divided by this."""
PULL = 0.5
"""The factor of the quadratic's slope towards the tuned model, at weights other than 1.

Chosen on seed 0 at weight 0.5: with factor 1 the forecasts are too small, with 0 they rank worse.
"""


@dataclass(frozen=True)
class HarmCurve:
    """A power law from the second-order share to the share of the gain that a merge removes.

    A loss grows more slowly than a quadratic. The law is monotonic and maps 0 to 0.
    """

    factor: float
    power: float

    def lost(self, share: float) -> float:
        """The calibrated share for a second-order share >= 0."""
        return self.factor * float(share**self.power)


BY_GAIN = HarmCurve(0.58, 0.88)
"""Fitted by least squares of logarithms on seed 0 of `benchmarks.interference`."""
BY_LENGTH = HarmCurve(0.80, 0.56)
"""The same for packs without recorded gains. Lengths predict less, so the curve is flatter."""


def second_order(alone: Vector, merged: Vector, others: Vector, worth: float) -> float:
    """The share of its gain that a skill loses, in a quadratic model of its loss.

    At a displacement x from the base, the loss on the skill's text is modelled as ‖x - Δ‖² plus a
    constant, with the minimum at the skill's delta Δ (`alone`). `merged` is wΔ, `others` is the sum
    of the other weighted deltas, and `worth` is the whole gain. All are in one metric: vectors
    times the square root of the curvature and `worth` in nats, or curvature 1 and `worth` ‖Δ‖². The
    cost of the skill's own weight w is not included. At weight 1 the share is ‖others‖² / `worth`;
    at other weights the slope towards Δ is multiplied by `PULL`. The result is at least 0, and
    above 1 if the skill would be worse than the base.
    """
    slope = 2 * (dot(merged, others) - dot(alone, others))
    excess = dot(others, others) + PULL * slope
    return max(0.0, excess / worth)


def recorded_gain(manifest: Manifest) -> float | None:
    """The reduction of the token loss by tuning, in nats per token, as the probes record it.

    None if it is not recorded or outside `GAINS`, and for layered packs, whose gain is not relative
    to the base alone.
    """
    gains = [
        capability.base_value - capability.value
        for capability in manifest.capabilities
        if capability.metric == LOSS and capability.base_value is not None
    ]
    gain = sum(gains) / len(gains) if gains and not manifest.over else 0.0
    return gain if GAINS[0] <= gain <= GAINS[1] else None


def usual_curvature(rates: Iterable[float]) -> float:
    """The upper median of the rates (gain per squared length); 1 if there are none.

    Of two rates the larger is used, which forecasts more harm. A median limits the effect of a
    single false claim.
    """
    ordered = sorted(rates)
    return ordered[len(ordered) // 2] if ordered else 1.0


def curvature(rate: float | None, usual: float) -> float:
    """The curvature of the base's loss along a delta, in nats per squared length.

    The geometric mean of the delta's own `rate`, clipped, and the `usual` rate. A short delta with
    a large gain follows directions in which the loss is steep, so it also harms other skills more.
    """
    if rate is None:
        return usual
    clipped = min(max(rate, usual / FARTHEST), usual * FARTHEST)
    return float((clipped * usual) ** 0.5)
