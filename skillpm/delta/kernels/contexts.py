"""Kernels of `skillpm.delta.codecs.lossless_contexts`, their reference: contexts of words."""

import numpy as np

from skillpm.delta.kernels.kernel import I64, U8, OutI64, OutU8, Words, kernel


@kernel
def octaves_below(exponents: U8, anchor: int, merge: int, most: int, out: OutU8) -> None:
    """Write octaves below the anchor [n], 2^merge of them as one, at most `most`."""
    for number in range(exponents.size):
        below = max(anchor - int(exponents[number]), 0)
        out[number] = np.uint8(min(below >> merge, most))


@kernel
def add_classes(contexts: OutU8, lengths: I64, classes: U8, step: int) -> None:
    """Replace each context [n] by `step` times it, plus the class of its row [rows]."""
    start = 0
    for row in range(lengths.size):
        stop = min(start + lengths[row], contexts.size)
        shift = np.int64(classes[row])
        for number in range(start, stop):
            contexts[number] = np.uint8(contexts[number] * step + shift)
        start = stop


@kernel
def movements(
    folded: Words, below: U8, lengths: I64, deepest: int, moved: OutI64, changed: OutI64
) -> None:
    """Sum up each row's differences in units of 2^-8 of an octave's step, and count the changes.

    `folded` [n] are zigzag differences, `below` [n] octaves below the anchor, at most `deepest` of
    which count. Writes `moved` and `changed` [rows].
    """
    start = 0
    for row in range(lengths.size):
        stop = min(start + lengths[row], folded.size)
        total, count = 0, 0
        for number in range(start, stop):
            fold = int(folded[number])
            distance = (fold >> 1) + (fold & 1)
            total += (distance << 8) >> min(int(below[number]), deepest)
            count += distance != 0
        moved[row], changed[row] = total, count
        start = stop
