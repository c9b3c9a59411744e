"""Choices of an encoding, and what each costs: bytes and distortion."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Family = Literal["zero", "svd-ec", "grid", "svd-ec+grid", "sign", "lossless"]
RECORD_BYTES = 130
"""An estimate of the bytes of a tensor's record and its part in the header of a layer."""


@dataclass(frozen=True)
class EncodingChoice:
    """A codec family and its step; 0 for a family without a step."""

    family: Family
    step: float = 0.0


@dataclass(frozen=True)
class CandidatePoint:
    """An encoding choice, its bytes, and its distortion under the metric."""

    choice: EncodingChoice
    size: float
    distortion: float

    def cost(self, price: float) -> float:
        """Return D + λ · bytes."""
        return self.distortion + price * self.size

    def no_better_than(self, least: float) -> "CandidatePoint":
        """Raise the distortion to `least`, unless the encoding is exact."""
        if self.choice.family == "lossless" or self.distortion >= least:
            return self
        return CandidatePoint(self.choice, self.size, least)

    def resized(self, ratio: float) -> "CandidatePoint":
        """Multiply the bytes by a ratio."""
        return CandidatePoint(self.choice, self.size * ratio, self.distortion)


@dataclass(frozen=True)
class TensorSurvey:
    """The points of one tensor that may be chosen, and its energy: the distortion of `zero`."""

    energy: float
    points: tuple[CandidatePoint, ...]


def lower_hull(points: Iterable[CandidatePoint]) -> tuple[CandidatePoint, ...]:
    """Return the points that are best at some price of a byte, by rising size.

    They are the vertices of the lower convex hull of (size, distortion).
    """
    hull: list[CandidatePoint] = []
    for point in sorted(points, key=lambda point: (point.size, point.distortion)):
        if hull and point.distortion >= hull[-1].distortion:
            continue
        while len(hull) > 1 and _slope(hull[-2], point) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return tuple(hull)


def _slope(before: CandidatePoint, after: CandidatePoint) -> float:
    """Return the change of distortion per byte between two points of rising size."""
    return (after.distortion - before.distortion) / (after.size - before.size)
