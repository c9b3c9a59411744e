"""The scheme `auto` in `pack`: survey, allocate, encode; repeat until the target is met.

The target is a number of bytes, or a share of the delta to keep.
"""

from dataclasses import dataclass
from functools import partial
from math import exp, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.plan import CandidateSurvey
from skillpm.delta.auto.scheme import Auto, CandidateCache
from skillpm.delta.auto.weights import Unweighted
from skillpm.delta.encoding.encode import EncodingJob
from skillpm.errors import GraftError
from skillpm.flows.pack.attachments import Attachments
from skillpm.flows.pack.encoded_delta import Layers, encode_layers
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.pack_file import file_size
from skillpm.flows.pack.scheme import EncodingTarget
from skillpm.flows.pack.survey_cache import SurveyCache
from skillpm.flows.session.session import Session
from skillpm.parallel import no_advance

if TYPE_CHECKING:
    from skillpm.flows.pack.calibrate import Calibration

NEAR = 0.995
"""The search ends if the file has between 99.5 % and 100 % of the budget."""
_TRIALS = 8
_SLOPE = 0.8
"""Halving all steps multiplies the bytes by about 2^0.8."""
_FIXED, _EACH = 12_000, 340
"""Approximate bytes of a manifest with its container, and of one footprint entry."""
_CLOSE = 0.93
"""The search ends if the divergence is between 93 % and 100 % of its cap."""


@dataclass
class _Fitter:
    """Encodes trials of a pack, each in its own folder."""

    session: Session
    models: ModelPair
    attachments: Attachments
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
        return encode_layers(self.session, self.models, scheme, folder)

    def reallocated(self, scheme: Auto, aim: float) -> Auto | None:
        """A new allocation for another number of bytes; None if scaling the steps is enough.

        Tensors that are carried exactly do not grow with a finer step. So with a larger budget,
        more tensors must be carried exactly.
        """
        if not scheme.is_mixed or scheme.scale != 1.0:
            return None
        allocation = self.survey.for_bytes(aim)
        unchanged = allocation.choices == scheme.allocation.choices
        return None if unchanged else self.scheme(allocation)

    def size(self, scheme: Auto, layers: Layers) -> int:
        return file_size(self.session, self.models, self.attachments, scheme, layers)


def fit(
    session: Session,
    models: ModelPair,
    attachments: Attachments,
    target: EncodingTarget,
    folder: Path,
) -> tuple[Auto, Layers]:
    """The scheme and the layers that meet the target. Raises `GraftError` if none can."""
    dense = models.delta_bytes
    budget = target.budget.bytes_of(dense) if target.budget else None
    calibration = target.calibrate(session, models, folder) if target.calibrate else None
    weighting: Weighting = calibration.weighting if calibration else Unweighted()
    cache = SurveyCache.of(session, models, weighting.key)
    cache.sweep(session.now)
    survey = CandidateSurvey(
        EncodingJob(models.reference.source, models.tuned, session.workers, no_advance),
        list(models.differing),
        CandidateCache(weighting),
        cache.load,
        cache.save,
        partial(session.progress, "surveying"),
    )
    share = None if target.keep is None else 1.0 - target.keep
    survey.begin(share, budget)
    facts: dict[str, Any] = {"budget": target.budget.text} if target.budget else {}
    if target.keep is not None:
        facts["keep"] = target.keep
    fitter = _Fitter(session, models, attachments, folder, facts, survey)
    if budget is not None:
        return _fit_bytes(fitter, budget)
    if calibration is None:
        return _fit_energy(fitter, share or 0.0)
    return _fit_divergence(fitter, share or 0.0, calibration)


def _fit_bytes(fitter: _Fitter, budget: int) -> tuple[Auto, Layers]:
    """The most accurate encoding whose file has at most `budget` bytes and at least `NEAR` of it.

    Raises `GraftError` if no trial is small enough.
    """
    best: tuple[Auto, Layers] | None = None
    filled = 0
    aim = max(1.0, 0.99 * budget - _overhead(fitter))
    scheme = fitter.scheme(fitter.survey.for_bytes(aim))
    low, high = 0.0, 0.0  # the last scales with too large a file, and with a small enough one
    while fitter.trials < _TRIALS:
        layers = fitter.trial(scheme)
        size = fitter.size(scheme, layers)
        if size <= budget and size > filled:
            best, filled = (scheme, layers), size
        if NEAR * budget <= size <= budget or (scheme.is_exact and size <= budget):
            break
        aim = max(1.0, aim + 0.5 * (1 + NEAR) * budget - size)
        reallocated = fitter.reallocated(scheme, aim)
        if reallocated is not None:
            scheme, low, high = reallocated, 0.0, 0.0
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
            f"a budget of {budget} bytes is too small: the smallest trial has {size} bytes, "
            f"of which {size - layers.size} are manifest, side files and container",
            hint=f"try `--budget {2 * size}B`, or `--keep 0.9` to see the size at 90 % fidelity",
        )
    return best


def _next_scale(scale: float, size: int, aim: int, low: float, high: float) -> float | None:
    """The scale at which the layers are expected to have slightly less than `aim` bytes."""
    if aim <= 0:
        return None
    target = log(max(1.0, size)) - log(0.996 * aim)
    following = scale * exp(max(-2.0, min(2.0, target / _SLOPE)))
    if low and high and not low < following < high:
        following = (low * high) ** 0.5
    return following


def _overhead(fitter: _Fitter) -> float:
    """The approximate bytes of manifest and container. Trials give the exact number."""
    return _FIXED + _EACH * len(fitter.models.differing)


def _fit_energy(fitter: _Fitter, share: float) -> tuple[Auto, Layers]:
    """The smallest encoding whose error is at most `share` of the delta's weighted energy."""
    scheme = fitter.scheme(fitter.survey.for_distortion(share))
    return scheme, fitter.trial(scheme)


def _fit_divergence(
    fitter: _Fitter, share: float, calibration: "Calibration"
) -> tuple[Auto, Layers]:
    """The smallest encoding whose divergence on held-out text is at most `share` of the base's.

    Raises `GraftError` if no trial reaches it.
    """
    base_divergence = calibration.divergence()
    cap = share * base_divergence
    best: tuple[Auto, Layers] | None = None
    aim, low, high = share, 0.0, 0.0
    reached = float("inf")
    while fitter.trials < _TRIALS:
        scheme = fitter.scheme(fitter.survey.for_distortion(aim))
        layers = fitter.trial(scheme)
        divergence = calibration.divergence(layers.open(fitter.models))
        reached = min(reached, divergence)
        fitter.session.say(
            f"divergence {divergence:.4g} (limit {cap:.4g}) with {layers.size} bytes"
        )
        if divergence <= cap and (best is None or aim > low):
            best, low = (_with_divergence(scheme, divergence, base_divergence), layers), aim
        if divergence > cap:
            high = aim
        if _CLOSE * cap <= divergence <= cap:
            break
        following = aim * max(0.1, min(10.0, 0.97 * cap / max(divergence, cap * 1e-3)))
        aim = (low * high) ** 0.5 if low and high and not low < following < high else following
    if best is None:
        raise GraftError(
            f"no trial reached a divergence of at most {cap:.4g}; the best had {reached:.4g}",
            hint="use a smaller `--keep`, or `--scheme lossless`, which keeps the whole delta",
        )
    return best


def _with_divergence(scheme: Auto, divergence: float, base_divergence: float) -> Auto:
    """The scheme with the measured divergence and that of the base in its settings."""
    measured = {"divergence": float(f"{divergence:.6g}"), "of": float(f"{base_divergence:.6g}")}
    facts = {**scheme.requested, **measured}
    return Auto(scheme.cache, scheme.allocation, facts, scheme.scale)
