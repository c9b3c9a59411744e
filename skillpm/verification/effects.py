"""Check the form of the effects that `pack` measured; the values depend on texts and machines."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from skillpm.spec.effect import PROBES, SCORES
from skillpm.verification.evidence import Discrepancies, Discrepancy

SETTINGS = "compression.settings"
LOSSES = ("loss", "loss_base", "loss_tuned")
"""Losses on held-out text, in nats per token: of the pack, the base and the tuned model."""
GAIN = ("gain_kept", "gain_error")
"""The share of the gain in loss that the pack keeps there, and half its 95 % interval."""
_DIVERGENCES = ("divergence", "of")
EFFECT = frozenset({*_DIVERGENCES, *LOSSES, *GAIN})
"""The settings that record the effect on held-out text."""
_VALUES = frozenset({"base", "tuned", "pack"})


def is_number(value: object, low: float = 0.0, high: float = 2.0**53) -> bool:
    """Whether a value is a finite number from `low` to `high`, and not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high and isfinite(value)


def check_effect(settings: Mapping[str, Any], path: str = SETTINGS) -> Discrepancies:
    """Check the numbers of an effect that settings record; keys may be missing."""
    for key in (*_DIVERGENCES, *LOSSES, "gain_error"):
        value = settings.get(key, 0.0)
        if not is_number(value):
            yield Discrepancy(f"{path}.{key}", value, "a number of at least 0")
    kept = settings.get("gain_kept", 0.0)
    if not is_number(kept, low=-(2.0**53)):
        yield Discrepancy(f"{path}.gain_kept", kept, "a number")


def check_probed(settings: Mapping[str, Any]) -> Discrepancies:
    """Check the effect on probes that settings record, if they record one."""
    path, plain = f"{SETTINGS}.{PROBES}", settings.get(PROBES, {})
    if not isinstance(plain, dict) or not plain.keys() <= EFFECT | {SCORES}:
        yield Discrepancy(path, plain, "an object of divergences, losses, gains and scores")
        return
    yield from check_effect(plain, path)
    scores = plain.get(SCORES, {})
    if not isinstance(scores, dict) or not all(_are_scores(each) for each in scores.values()):
        yield Discrepancy(f"{path}.{SCORES}", scores, "scores of base, tuned model and pack")


def _are_scores(plain: object) -> bool:
    return (
        isinstance(plain, dict)
        and plain.keys() == _VALUES
        and all(is_number(value, low=-(2.0**53)) for value in plain.values())
    )
