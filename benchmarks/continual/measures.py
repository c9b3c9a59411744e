"""Measures of continual learning: ACC, BWT and forgetting.

R[i][j] is the score, higher is better, on task j after learning task i, both from 0; T tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Matrix = Sequence[Sequence[float]]


def accuracy(scores: Matrix) -> float:
    """ACC = mean_j R[T, j] (Lopez-Paz & Ranzato 2017)."""
    return sum(scores[-1]) / len(scores[-1])


def backward_transfer(scores: Matrix) -> float:
    """BWT = mean_{j<T} (R[T, j] − R[j, j]) (Lopez-Paz & Ranzato 2017): below 0 is forgetting."""
    last, earlier = scores[-1], range(len(scores) - 1)
    return sum(last[task] - scores[task][task] for task in earlier) / len(earlier)


def forgetting(scores: Matrix) -> float:
    """mean_{j<T} (max_{l<T} R[l, j] − R[T, j]) (Chaudhry et al. 2018).

    The maximum is over all earlier stages, including those before the task was learnt.
    """
    last, before = scores[-1], scores[:-1]
    lost = [max(row[task] for row in before) - last[task] for task in range(len(before))]
    return sum(lost) / len(lost)
