"""Kernels of `skillpm.delta.coding.frequency_tables`, their reference. Rows have 256 entries."""

import numpy as np

from skillpm.delta.kernels.kernel import F64, I64, U8, OutI64, OutU8, OutU32, helper, kernel

TOTAL = 1 << 12
_OCTAVES = 14
_RICES = 8


@helper
def survey(counts: I64, present: OutU8) -> tuple[int, int]:
    """Mark the tokens [256] that occur; return the sum of the counts and the largest."""
    total, most = 0, 0
    for token in range(256):
        count = counts[token]
        present[token] = count > 0
        total += count
        most = max(most, count)
    return total, most


@helper
def share_out(levels: I64, present: U8, stride: int, weights: I64, frequencies: OutI64) -> None:
    """Write the frequencies [256] of levels [256]; they sum to 4096."""
    places, weight = 0, 0
    for token in range(256):
        if present[token]:
            places += 1
            weight += weights[levels[token] * stride]
    left = TOTAL
    for token in range(256):
        frequencies[token] = 0
        if present[token]:
            share = weights[levels[token] * stride] * (TOTAL - places) // max(weight, 1)
            frequencies[token] = 1 + share
            left -= 1 + share
    for token in range(256):
        if left <= 0:
            break
        if present[token]:
            frequencies[token] += 1
            left -= 1


@helper
def level_of(ratio: float, edges: F64, stride: int, deepest: int) -> int:
    """Return how many of the edges `stride` * (1, 3, 5 ...) are below the ratio."""
    low, high = 0, deepest
    while low < high:
        middle = (low + high) >> 1
        if edges[(2 * middle + 1) * stride] < ratio:
            low = middle + 1
        else:
            high = middle
    return low


@helper
def stored_bits(levels: I64, present: U8) -> int:
    """Return the bits of a table in the stream."""
    places, last, before = 0, 0, 0
    costs = np.zeros(_RICES, dtype=np.int64)
    for token in range(256):
        if present[token]:
            places, last = places + 1, token
            step = levels[token] - before
            before = levels[token]
            residual = (step << 1) ^ (step >> 63)
            for rice in range(_RICES):
                costs[rice] += (residual >> rice) + 1 + rice
    if places == 1:
        return 9
    fewest = int(costs[0])
    for rice in range(_RICES):
        fewest = min(fewest, int(costs[rice]))
    return 16 + fewest + (last if places <= last else 0)


@helper
def quantise(
    counts: I64, present: U8, top: float, scale: float, stride: int, edges: F64, levels: OutI64
) -> None:
    """Write the level [256] of each token that is present, at a resolution of 16 / stride."""
    deepest = _OCTAVES * 16 // stride
    for token in range(256):
        levels[token] = 0
        if present[token]:
            target = max(counts[token] * scale - 1.0, 0.125)
            levels[token] = level_of(top / target, edges, stride, deepest)


@helper
def spent_by(counts: I64, present: U8, frequencies: I64, costs: I64) -> int:
    """Return the bits of the tokens, in units of 2^-16."""
    spent = 0
    for token in range(256):
        if present[token]:
            spent += counts[token] * costs[frequencies[token] - 1]
    return spent


@kernel
def choose(
    counts: I64, strides: I64, weights: I64, edges: F64, costs: I64,
    levels: OutI64, frequencies: OutI64, best: OutI64, stored: OutI64, data: OutI64,
) -> None:  # fmt: skip
    """Choose the cheapest of several resolutions for each row of `counts` [rows << 8].

    A resolution is 16 / stride levels per octave. Writes `levels` and `frequencies` [rows << 8],
    and for each row the number of the resolution, the bits of the table, and the bits of the tokens
    in units of 2^-16, as are `costs` [4096] of the frequencies.
    """
    tried, shared = np.empty(256, dtype=np.int64), np.empty(256, dtype=np.int64)
    present = np.empty(256, dtype=np.uint8)
    for row in range(best.size):
        own = counts[row << 8 : (row + 1) << 8]
        total, most = survey(own, present)
        scale = TOTAL / max(total, 1)
        top = max(most * scale - 1.0, 0.125)
        cheapest = -1
        for number in range(strides.size):
            quantise(own, present, top, scale, strides[number], edges, tried)
            share_out(tried, present, strides[number], weights, shared)
            spent, bits = spent_by(own, present, shared, costs), stored_bits(tried, present)
            price = (bits << 16) + spent
            if cheapest < 0 or price < cheapest:
                cheapest = price
                best[row], stored[row], data[row] = number, bits, spent
                for token in range(256):
                    levels[row << 8 | token] = tried[token]
                    frequencies[row << 8 | token] = shared[token]


@kernel
def share(levels: I64, present: U8, strides: I64, weights: I64, frequencies: OutI64) -> None:
    """Write the frequencies [rows << 8] of levels [rows << 8], by the stride of each row."""
    for row in range(strides.size):
        span = slice(row << 8, (row + 1) << 8)
        share_out(levels[span], present[span], strides[row], weights, frequencies[span])


@kernel
def decoder_entries(used: I64, alone: U8, frequencies: I64, entries: OutU32) -> None:
    """Fill the decoder's entries [contexts << 12] of the contexts in `used` that are coded."""
    for row in range(used.size):
        context = used[row]
        if alone[context]:
            continue
        slot = context << 12
        for token in range(256):
            frequency = frequencies[row << 8 | token]
            for offset in range(frequency):
                entries[slot] = np.uint32(frequency << 20 | token << 12 | offset)
                slot += 1
