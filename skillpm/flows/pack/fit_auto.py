"""The scheme `auto` in `pack`: survey, allocate, encode; then until the file meets the wish."""

from dataclasses import dataclass
from functools import partial
from math import exp, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillpm.checkpoint.leaves import no_advance
from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.plan import CandidateSurvey
from skillpm.delta.auto.scheme import Auto, CandidateCache
from skillpm.delta.auto.weights import Unweighted
from skillpm.delta.encode.encode import EncodingJob
from skillpm.errors import GraftError
from skillpm.flows.pack.encode_layers import Layers, delta_bytes, encode_layers
from skillpm.flows.pack.file_size import file_size
from skillpm.flows.pack.manifest import ModelPair, PackRequest
from skillpm.flows.pack.survey_cache import SurveyCache
from skillpm.flows.pack.target import EncodingTarget
from skillpm.flows.session.session import Session

if TYPE_CHECKING:
    from skillpm.flows.pack.calibrate import Calibration

NEAR = 0.995
"""A budget is met from below, within half a hundredth."""
_TRIALS = 8
_SLOPE = 0.8
"""Halving all steps multiplies the bytes by about 2^0.8."""
_FIXED, _EACH = 12_000, 340
"""About the bytes of a manifest and its container, and of a footprint's entry."""
_CLOSE = 0.93
"""How near a divergence comes to its cap before the search ends."""


@dataclass
class _Fitter:
    """Makes trials of one pack, each in a folder of its own; the last good one is kept."""

    session: Session
    request: PackRequest
    against: ModelPair
    folder: Path
    facts: dict[str, Any]
    survey: CandidateSurvey
    trials: int = 0

    def scheme(self, allocation: Allocation, scale: float = 1.0) -> Auto:
        facts = {**self.facts, "curve": self.survey.curve()}
        return Auto(self.survey.cache, allocation, facts, scale)

    def trial(self, scheme: Auto) -> Layers:
        self.trials += 1
        folder = self.folder / f"trial-{self.trials}"
        return encode_layers(self.session, self.against, scheme, folder)

    def again(self, scheme: Auto, aim: float) -> Auto | None:
        """The set for another number of bytes, where a step alone would not do; else None.

        What is carried exactly does not grow with a finer step, so others are to join it.
        """
        if not scheme.is_mixed or scheme.scale != 1.0:
            return None
        allocation = self.survey.for_bytes(aim)
        same = allocation.choices == scheme.allocation.choices
        return None if same else self.scheme(allocation)

    def size(self, scheme: Auto, layers: Layers) -> int:
        return file_size(self.session, self.request, self.against, scheme, layers)


def fit(
    session: Session, request: PackRequest, against: ModelPair, wish: EncodingTarget, folder: Path
) -> tuple[Auto, Layers]:
    """The scheme and the layers that meet a wish. Raises `GraftError` where none can."""
    dense = delta_bytes(against)
    budget = wish.budget.bytes_of(dense) if wish.budget else None
    calibration = wish.calibrate(session, against, folder) if wish.calibrate else None
    weighting: Weighting = calibration.weighting if calibration else Unweighted()
    cache = SurveyCache.of(session, against, weighting.settings)
    cache.sweep(session.now.timestamp())
    survey = CandidateSurvey(
        EncodingJob(against.reference.source, against.tuned, session.workers, no_advance),
        against.differing,
        CandidateCache(weighting),
        cache.saved,
        cache.save,
        partial(session.progress, "surveying"),
    )
    share = None if wish.keep is None else 1.0 - wish.keep
    survey.begin(share, budget)
    facts: dict[str, Any] = {"budget": wish.budget.text} if wish.budget else {}
    if wish.keep is not None:
        facts["keep"] = wish.keep
    fitter = _Fitter(session, request, against, folder, facts, survey)
    if budget is not None:
        return _fit_bytes(fitter, budget)
    if calibration is None:
        return _fit_energy(fitter, share or 0.0)
    return _fit_divergence(fitter, share or 0.0, calibration)


def _fit_bytes(fitter: _Fitter, budget: int) -> tuple[Auto, Layers]:
    """The best set whose file is at most `budget`, and at least `NEAR` of it."""
    best: tuple[Auto, Layers] | None = None
    filled = 0
    aim = max(1.0, 0.99 * budget - _overhead(fitter))
    scheme = fitter.scheme(fitter.survey.for_bytes(aim))
    low, high = 0.0, 0.0  # scales known to be too large a file, and small enough a one
    while fitter.trials < _TRIALS:
        layers = fitter.trial(scheme)
        size = fitter.size(scheme, layers)
        if size <= budget and size > filled:
            best, filled = (scheme, layers), size
        if NEAR * budget <= size <= budget or (scheme.is_exact and size <= budget):
            break
        aim = max(1.0, aim + 0.5 * (1 + NEAR) * budget - size)
        other = fitter.again(scheme, aim)
        if other is not None:
            scheme, low, high = other, 0.0, 0.0
            continue
        if size <= budget:
            high = scheme.scale
        else:
            low = scheme.scale
        following = _next_scale(scheme.scale, layers.size, budget - (size - layers.size), low, high)
        if following is None:
            break
        scheme = Auto(scheme.cache, scheme.allocation, scheme.requested, following)
    if best is None:
        raise GraftError(
            f"a budget of {budget} bytes is too small: the smallest trial took {size}, "
            f"of which {size - layers.size} are manifest, side files and container",
            hint=f"try `--budget {2 * size}B`, or `--keep 0.9` to see what fidelity costs",
        )
    return best


def _next_scale(scale: float, size: int, aim: int, low: float, high: float) -> float | None:
    """The scale at which the layers should take a little less than `aim` bytes."""
    if aim <= 0:
        return None
    target = log(max(1.0, size)) - log(0.996 * aim)
    following = scale * exp(max(-2.0, min(2.0, target / _SLOPE)))
    if low and high and not low < following < high:
        following = (low * high) ** 0.5
    return following


def _overhead(fitter: _Fitter) -> float:
    """About what manifest and container take; trials tell it exactly."""
    return _FIXED + _EACH * len(fitter.against.differing)


def _fit_energy(fitter: _Fitter, share: float) -> tuple[Auto, Layers]:
    """The smallest set that errs at most a share of the weighted energy."""
    scheme = fitter.scheme(fitter.survey.for_distortion(share))
    return scheme, fitter.trial(scheme)


def _fit_divergence(
    fitter: _Fitter, share: float, calibration: "Calibration"
) -> tuple[Auto, Layers]:
    """The smallest set whose divergence on held-out calibration text is at most a share."""
    whole = calibration.divergence()
    cap = share * whole
    best: tuple[Auto, Layers] | None = None
    aim, low, high = share, 0.0, 0.0
    reached = float("inf")
    while fitter.trials < _TRIALS:
        scheme = fitter.scheme(fitter.survey.for_distortion(aim))
        layers = fitter.trial(scheme)
        found = calibration.divergence(layers.open(fitter.request, fitter.against))
        reached = min(reached, found)
        fitter.session.say(f"divergence {found:.4g} of at most {cap:.4g}, {layers.size} bytes")
        if found <= cap and (best is None or aim > low):
            best, low = (_noting(scheme, found, whole), layers), aim
        if found > cap:
            high = aim
        if _CLOSE * cap <= found <= cap:
            break
        following = aim * max(0.1, min(10.0, 0.97 * cap / max(found, cap * 1e-3)))
        aim = (low * high) ** 0.5 if low and high and not low < following < high else following
    if best is None:
        raise GraftError(
            f"no pack kept the divergence under {cap:.4g}: the best reached {reached:.4g}",
            hint="ask for less with `--keep`, or leave it out: a lossless pack keeps all",
        )
    return best


def _noting(scheme: Auto, found: float, whole: float) -> Auto:
    facts = {**scheme.requested, "divergence": float(f"{found:.6g}"), "of": float(f"{whole:.6g}")}
    return Auto(scheme.cache, scheme.allocation, facts, scheme.scale)
