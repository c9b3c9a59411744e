"""The allocation of bytes: for each tensor the candidate that minimises D + λ · bytes.

λ, the price of a byte, is found by bisection.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from skillpm.delta.auto.points import CandidatePoint, EncodingChoice

Points = Mapping[str, Sequence[CandidatePoint]]
_HALVINGS = 80
_WIDEST = 120.0
"""λ is between 2^-120 and 2^120."""


@dataclass(frozen=True)
class Allocation:
    """A choice for each tensor, and the total bytes and distortion."""

    choices: Mapping[str, EncodingChoice]
    size: float
    distortion: float


def at_price(points: Points, price: float) -> Allocation:
    """Choose the best points if a byte costs `price` of distortion. Of equal ones, the smaller."""
    best = {
        tensor: min(candidates, key=lambda point: (point.cost(price), point.size))
        for tensor, candidates in points.items()
    }
    return Allocation(
        {tensor: point.choice for tensor, point in best.items()},
        sum(point.size for point in best.values()),
        sum(point.distortion for point in best.values()),
    )


def within_bytes(points: Points, budget: float) -> Allocation:
    """Return the allocation of least distortion in at most `budget` bytes.

    Returns the cheapest allocation if none fits the budget.
    """
    return _bisect(points, lambda allocation: allocation.size <= budget)


def within_distortion(points: Points, limit: float) -> Allocation:
    """Return the allocation of fewest bytes with at most `limit` of distortion.

    Returns the most accurate allocation if none keeps the limit.
    """
    return _bisect(points, lambda allocation: allocation.distortion > limit, below=True)


def _bisect(
    points: Points, cheap: Callable[[Allocation], bool], *, below: bool = False
) -> Allocation:
    """Return the allocation at the lowest price for which `cheap` holds, or just below it."""
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if cheap(at_price(points, 2.0**middle)):
            high = middle
        else:
            low = middle
    return at_price(points, 2.0 ** (low if below else high))
