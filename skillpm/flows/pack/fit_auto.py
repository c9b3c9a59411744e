"""The scheme `auto` in `pack`: survey, allocate, encode; repeat until the target is met.

The target is a number of bytes, or a share of the delta to keep.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.metric import Weighting
from skillpm.delta.auto.model_survey import ModelSurvey
from skillpm.delta.auto.points import RECORD_BYTES
from skillpm.delta.auto.refine import SizeRatios, refined
from skillpm.delta.auto.scheme import Auto
from skillpm.delta.auto.weights import Unweighted
from skillpm.delta.encoding.torch_device import ComputeDevice, torch_threads
from skillpm.delta.tensors.heap import large_tensors_apart
from skillpm.errors import GraftError
from skillpm.flows.pack.attachments import Attachments
from skillpm.flows.pack.encoded_delta import Layers, work_on
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.scheme import EncodingTarget
from skillpm.flows.pack.survey_cache import SurveyCache
from skillpm.flows.pack.trials import EncodingTrials, Trial
from skillpm.flows.session.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from skillpm.flows.pack.calibrate import Calibration
    from skillpm.spec.effect import PackEffect

NEAR = 0.995
"""The search ends if the file has between 99.5 % and 100 % of the budget."""
_TRIALS = 8
_FIXED, _EACH = 12_000, 340
"""Approximate bytes of a manifest with its container, and of one footprint entry."""
_MIDDLE = 0.5 * (1 + NEAR)
"""The share of the budget that trials aim at."""
_FAR = 0.1
"""A trial that leaves a larger share of the budget unused leads to a new allocation."""
_CLOSE = 0.93
"""The search ends if between 93 % and 100 % of what may be lost is lost."""


def fit(
    session: Session,
    models: ModelPair,
    attachments: Attachments,
    target: EncodingTarget,
    folder: "Path",
) -> tuple[Auto, Layers]:
    """The scheme and the layers that meet the target. Raises `GraftError` if none can."""
    device = ComputeDevice.find(target.device)
    with device.memory_errors():
        trial = _fit(session, models, attachments, target, folder, device)
    return trial.scheme, trial.layers


def _fit(
    session: Session,
    models: ModelPair,
    attachments: Attachments,
    target: EncodingTarget,
    folder: "Path",
    device: ComputeDevice,
) -> Trial:
    calibration = target.calibrate(session, models, folder) if target.calibrate else None
    weighting: Weighting = calibration.weighting if calibration else Unweighted()
    cache = SurveyCache.of(session, models, weighting.key, device.name)
    cache.sweep(session.now)
    job = work_on(session, models, "surveying")
    with (
        large_tensors_apart(),
        torch_threads(1),
    ):  # two tensors at once are faster than two threads on one
        survey = ModelSurvey.of(
            job, models.differing, weighting, device=device, saved=cache.load, save=cache.save
        )
    trials = EncodingTrials(
        session, models, attachments, folder, weighting, survey, target.settings, device
    )
    share = 1.0 - (target.keep or 0.0)
    if target.budget is not None:
        trial = _fit_bytes(trials, target.budget.bytes_of(models.delta_bytes))
        if calibration is None or trial.scheme.is_exact:
            return trial
        return _measured(trials, trial, calibration)[0]
    if calibration is None:
        return trials.run(survey.for_distortion(share))
    return _fit_fidelity(trials, share, calibration)


def _fit_bytes(trials: EncodingTrials, budget: int) -> Trial:
    """The most accurate encoding whose file has at most `budget` bytes and at least `NEAR` of it.

    Raises `GraftError` if no trial is small enough.
    """
    ran: list[Trial] = []
    following: Allocation | None = trials.survey.for_bytes(first_aim(budget, len(trials.entries)))
    ratios = SizeRatios()
    while following is not None and trials.count < _TRIALS:
        trial = trials.run(following)
        ran.append(trial)
        if NEAR * budget <= trial.size <= budget or (
            trial.scheme.is_exact and trial.size <= budget
        ):
            break
        following = _next(trials, trial, ratios, budget)
    fitting = [trial for trial in ran if trial.size <= budget]
    if not fitting:
        smallest = min(ran, key=lambda trial: trial.size)
        raise too_small(budget, smallest.size, smallest.size - smallest.layers.size)
    return max(fitting, key=lambda trial: trial.size)


def too_small(budget: int, smallest: int, others: int) -> GraftError:
    """The error for a budget that no trial meets; `others` bytes of the smallest are no tensors."""
    return GraftError(
        f"a budget of {budget} bytes is too small: the smallest trial has {smallest} bytes, "
        f"of which {others} are manifest, side files and container",
        hint=f"try `--budget {2 * smallest}B`, or `--keep 0.9` to see the size at 90 % fidelity",
    )


def first_aim(budget: int, tensors: int) -> float:
    """The bytes for tensors in a file of `budget` bytes. Used before a trial measures the rest."""
    return max(1.0, _MIDDLE * budget - _FIXED - _EACH * tensors)


def _next(
    trials: EncodingTrials, trial: Trial, ratios: SizeRatios, budget: int
) -> Allocation | None:
    """The allocation of the next trial; None if no other comes nearer to the budget.

    Bytes are allocated anew with corrected estimates, which changes few tensors. If the
    result is not near the budget, because there are few tensors, the steps of some are scaled.
    """
    missing = _MIDDLE * budget - trial.size
    measured = trial.measured
    ratios.learn(trials.survey, trial.allocation, measured)
    used = sum(measured[tensor] + RECORD_BYTES for tensor in trials.survey.points)
    allocation = trials.survey.resized(ratios.ratio).for_bytes(max(1.0, used + missing))
    is_near = allocation.size >= used + missing - (_MIDDLE - NEAR) * budget
    if allocation.choices != trial.allocation.choices and (is_near or missing > _FAR * budget):
        return allocation
    return refined(trial.allocation, measured, trials.entries, missing)


def _fit_fidelity(trials: EncodingTrials, share: float, calibration: "Calibration") -> Trial:
    """The smallest encoding that keeps all but `share` of what the tuned model gains.

    Both limits hold on held-out text: at most `share` of the base's divergence is left, and where
    the tuned model has a lower loss than the base, at most `share` of that gain is lost. Raises
    `GraftError` if no trial reaches them.
    """
    cap = share * calibration.base_divergence
    best: Trial | None = None
    aim, low, high = share, 0.0, 0.0
    reached = float("inf")
    while trials.count < _TRIALS:
        trial = trials.run(trials.survey.for_distortion(aim))
        trial, effect = _measured(trials, trial, calibration)
        lost = 0.0 if effect.gain_kept is None else 1.0 - effect.gain_kept
        missed = max(effect.divergence / cap if cap else 0.0, lost / share)
        reached = min(reached, missed)
        if missed <= 1 and (best is None or aim > low):
            best, low = trial, aim
        if missed > 1:
            high = aim
        if _CLOSE <= missed <= 1:
            break
        following = aim * max(0.1, min(10.0, 0.97 / max(missed, 1e-3)))
        aim = (low * high) ** 0.5 if low and high and not low < following < high else following
    if best is None:
        raise GraftError(
            f"no trial lost at most {share:.4g} of the divergence and of the gain; "
            f"the best lost {reached:.4g} times as much",
            hint="use a smaller `--keep`, or `--scheme lossless`, which keeps the whole delta",
        )
    return best


def _measured(
    trials: EncodingTrials, trial: Trial, calibration: "Calibration"
) -> "tuple[Trial, PackEffect]":
    """Measure a trial on held-out text, and record the result in its settings."""
    advance = trials.session.progress("comparing", 1)
    effect = calibration.effect(trial.layers.open(trials.models))
    advance(1)
    scheme = trial.scheme.with_settings(effect.settings)
    return replace(trial, scheme=scheme), effect
