"""The allocator: of every tensor the point that minimises D + λ · bytes, with λ bisected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skillpm.delta.auto.candidates import CandidatePoint, EncodingChoice

Points = Mapping[str, list[CandidatePoint]]
_HALVINGS = 80
_WIDEST = 120.0
"""λ is sought between 2^±120."""


@dataclass(frozen=True)
class Allocation:
    """A choice for each tensor, what they cost together in bytes, and their distortion."""

    choices: Mapping[str, EncodingChoice]
    size: float
    distortion: float


def at_price(points: Points, price: float) -> Allocation:
    """The best points where a byte costs `price` of distortion. Ties go to the smaller."""
    best = {
        tensor: min(several, key=lambda p: (p.cost(price), p.size))
        for tensor, several in points.items()
    }
    return Allocation(
        {tensor: point.choice for tensor, point in best.items()},
        sum(point.size for point in best.values()),
        sum(point.distortion for point in best.values()),
    )


def within_bytes(points: Points, budget: float) -> Allocation:
    """The least distortion for at most `budget` bytes; the cheapest set where none is so small."""
    return _bisect(points, lambda found: found.size <= budget)


def within_distortion(points: Points, limit: float) -> Allocation:
    """The fewest bytes for at most `limit` of distortion; the best set where none is so good."""
    return _bisect(points, lambda found: found.distortion > limit, other=True)


def _bisect(
    points: Points, cheap: Callable[[Allocation], bool], *, other: bool = False
) -> Allocation:
    """The price at which `cheap` begins to hold: the set on that side, or on the other."""
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if cheap(at_price(points, 2.0**middle)):
            high = middle
        else:
            low = middle
    return at_price(points, 2.0 ** (low if other else high))
