"""Spans of a flattened matrix as rectangles, so that a chunk costs only its own entries."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from skillpm.delta.tensors.rounding import Floats


@dataclass(frozen=True, slots=True)
class Box:
    """A block of rows and columns that is contiguous, start..stop, in the flattened matrix."""

    rows: slice
    columns: slice
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows, and of columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def boxes(start: int, stop: int, width: int) -> Iterator[Box]:
    """The span start..stop as at most three boxes: the rest of a row, whole rows, part of a row."""
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
    """The entries start..stop [n] of a flattened matrix, from the blocks of their boxes."""
    parts = [block(box).reshape(-1) for box in boxes(start, stop, width)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
