"""Changes of an allocation after a trial, so that the next trial meets the budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log2

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.model_survey import ModelSurvey
from skillpm.delta.auto.points import RECORD_BYTES, CandidatePoint, Family

SLOPE = 0.8
"""Halving the step of a tensor multiplies its bytes by about 2^SLOPE."""
_GENTLE = 0.25
"""Few tensors are refined if each of them changes its step by at most this many octaves."""
_MOST = 3.0
"""A step changes by at most this many octaves at once."""


@dataclass
class SizeRatios:
    """The measured bytes of points in relation to their estimates: by tensor and by family."""

    _tensors: dict[tuple[str, Family], float] = field(default_factory=dict)
    _families: dict[Family, float] = field(default_factory=dict)

    def learn(
        self, survey: ModelSurvey, allocation: Allocation, measured: Mapping[str, int]
    ) -> None:
        """Compare the estimates of an allocation with `measured` bytes, without records."""
        sums: dict[Family, tuple[float, float]] = {}
        for tensor, choice in allocation.choices.items():
            points = [point for point in survey.points[tensor] if point.choice == choice]
            if not points or choice.family == "zero":
                continue
            size = measured[tensor] + RECORD_BYTES
            self._tensors[tensor, choice.family] = size / points[0].size
            before = sums.get(choice.family, (0.0, 0.0))
            sums[choice.family] = (before[0] + size, before[1] + points[0].size)
        self._families.update({family: real / guess for family, (real, guess) in sums.items()})

    def ratio(self, tensor: str, point: CandidatePoint) -> float:
        """Return the ratio that is known for a point, 1 if none is."""
        family = point.choice.family
        if family == "zero":
            return 1.0
        return self._tensors.get((tensor, family), self._families.get(family, 1.0))


def refined(
    allocation: Allocation, measured: Mapping[str, int], entries: Mapping[str, int], missing: float
) -> Allocation | None:
    """Change the steps of few tensors so that the pack grows by about `missing` bytes.

    The tensors with most bytes per entry come first, because they are the quickest to encode again.
    None if no tensor has a step.
    """
    stepped = [tensor for tensor, choice in allocation.choices.items() if choice.step]
    stepped.sort(key=lambda tensor: (-measured[tensor] / entries[tensor], tensor))
    gentle = abs(2.0 ** (SLOPE * (_GENTLE if missing > 0 else -_GENTLE)) - 1)
    chosen: list[str] = []
    held = 0
    for tensor in stepped:
        if chosen and held * gentle >= abs(missing):
            break
        chosen.append(tensor)
        held += measured[tensor]
    if not held:
        return None
    octaves = log2(max(2.0 ** (-SLOPE * _MOST), 1 + missing / held)) / SLOPE
    factor = 2.0 ** -min(octaves, _MOST)
    choices = {
        tensor: replace(choice, step=choice.step * factor) if tensor in chosen else choice
        for tensor, choice in allocation.choices.items()
    }
    return Allocation(choices, allocation.size + missing, allocation.distortion)
