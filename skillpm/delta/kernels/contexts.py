"""Kernels of `skillpm.delta.codecs`: the octaves of words, and how far rows and columns moved.

Their references are in `lossless_contexts` and `lossless_classes`.
"""

import numpy as np

from skillpm.delta.kernels.kernel import I64, U8, OutI64, OutU8, Words, kernel


@kernel
def octaves_below(exponents: U8, anchor: int, merge: int, most: int, out: OutU8) -> None:
    """Write octaves below the anchor [n], 2^merge of them as one, at most `most`."""
    for number in range(exponents.size):
        below = max(anchor - int(exponents[number]), 0)
        out[number] = np.uint8(min(below >> merge, most))


@kernel
def movements(
    folded: Words, below: U8, shifts: I64, expected: I64, most: int, offset: int,
    row_moved: OutI64, column_moved: OutI64, row_expected: OutI64, column_expected: OutI64,
) -> None:  # fmt: skip
    """Add up how far the words of rows and of columns moved, and what was expected of them.

    `folded` [n] are zigzag differences, of which `offset` words of the first row are missing. A
    word at octave `below` [n] counts its distance, halved `shifts` times, at most `most`.
    """
    width = column_moved.size
    start, first = 0, offset
    for row in range(row_moved.size):
        stop = min(start + width - first, folded.size)
        total, awaited = 0, 0
        for number in range(start, stop):
            octave = int(below[number])
            fold = int(folded[number])
            distance = min(((fold >> 1) + (fold & 1)) >> shifts[octave], most)
            total += distance
            awaited += expected[octave]
            column = first + number - start
            column_moved[column] += distance
            column_expected[column] += expected[octave]
        row_moved[row] += total
        row_expected[row] += awaited
        start, first = stop, 0
