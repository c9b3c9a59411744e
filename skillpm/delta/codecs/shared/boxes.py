"""Spans of a flattened matrix as rectangles, so that decoding a chunk costs only its entries."""

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
        """The number of rows and of columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def boxes(start: int, stop: int, width: int) -> Iterator[Box]:
    """Split the span start..stop into at most three boxes.

    They are the end of a row, whole rows, and the start of a row.
    """
    while start < stop:
        row, offset = divmod(start, width)
        if offset or stop - start < width:
            last, end_column = row + 1, min(width, offset + stop - start)
        else:
            last, end_column = stop // width, width
        end = (last - 1) * width + end_column
        yield Box(slice(row, last), slice(offset, end_column), start, end)
        start = end


def flat_of(start: int, stop: int, width: int, block: Callable[[Box], Floats]) -> Floats:
    """Return the entries start..stop [n] of a flattened matrix, from the blocks of its boxes."""
    parts = [block(box).reshape(-1) for box in boxes(start, stop, width)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
