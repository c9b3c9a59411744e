"""Search for the value of a method's single setting at which its file meets a budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 12
CLOSE = 0.004


def fit(
    size: Callable[[float], float], budget: float, *, low: float, high: float, tries: int = TRIES
) -> float:
    """The largest setting found in [low, high] whose size is within the budget.

    `size` increases with the setting. Interpolates logarithms, and bisects where that makes no
    progress. Stops within 0.4 % of the budget. Raises `ValueError` if even `low` is too large.
    """
    small, large = size(low), size(high)
    if large <= budget:
        return high
    if small > budget:
        message = f"the smallest setting takes {small:.0f} bytes of {budget:.0f}"
        raise ValueError(message)
    for number in range(tries):
        if small >= (1 - CLOSE) * budget:
            break
        least = max(small, 1.0)
        share = math.log(budget * (1 - CLOSE / 2) / least) / math.log(large / least)
        share = 0.5 if number % 3 == 2 else min(max(share, 0.02), 0.98)
        middle = low * (high / low) ** share
        found = size(middle)
        if found <= budget:
            low, small = middle, found
        else:
            high, large = middle, found
    return low


def fit_count(size: Callable[[int], float], budget: float, low: int, high: int) -> int:
    """The largest integer setting within the budget, by bisection; raises as `fit` does."""
    if (smallest := size(low)) > budget:
        message = f"the smallest setting takes {smallest:.0f} bytes of {budget:.0f}"
        raise ValueError(message)
    while low < high:
        middle = (low + high + 1) // 2
        if size(middle) <= budget:
            low = middle
        else:
            high = middle - 1
    return low
