"""Flat spans of a matrix as rectangles, so that a chunk costs no more than its own entries."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from skillpm.delta.rounding import Floats


@dataclass(frozen=True, slots=True)
class Box:
    """Some rows and columns of a matrix that lie one after the other when it is flat."""

    rows: slice
    columns: slice
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows, and how many columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def boxes(start: int, stop: int, width: int) -> Iterator[Box]:
    """At most three: the rest of a row, whole rows, and the beginning of a row."""
    while start < stop:
        row, left = divmod(start, width)
        if left or stop - start < width:
            last, right = row + 1, min(width, left + stop - start)
        else:
            last, right = stop // width, width
        end = (last - 1) * width + right
        yield Box(slice(row, last), slice(left, right), start, end)
        start = end


def flat_of(start: int, stop: int, width: int, block: Callable[[Box], Floats]) -> Floats:
    """The entries of a span, from the blocks of its boxes."""
    parts = [block(box).reshape(-1) for box in boxes(start, stop, width)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
