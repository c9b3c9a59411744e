"""Kernels of `skillpm.delta.coding.frequency_tables`, their reference. Rows have 256 entries."""

import numpy as np

from skillpm.delta.kernels.kernel import F64, I64, U8, OutI64, OutU8, OutU32, helper, kernel

TOTAL = 1 << 12
OK, TRUNCATED, WRONG_TOKEN, WRONG_RESOLUTION, WRONG_LEVEL, EXTRA = 0, 1, 2, 3, 4, 5
"""Results of `load`."""
_OCTAVES = 14
_RICES = 8
_RESOLUTIONS = 5
_PADDING = 7


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
    return 16 + costs.min() + (last if places <= last else 0)


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
    for row in range(best.size):
        span = slice(row << 8, (row + 1) << 8)
        own = counts[span]
        present = (own > 0).astype(np.uint8)
        scale = TOTAL / max(own.sum(), 1)
        top = max(own.max() * scale - 1.0, 0.125)
        cheapest = -1
        for number in range(strides.size):
            quantise(own, present, top, scale, strides[number], edges, tried)
            share_out(tried, present, strides[number], weights, shared)
            spent, bits = spent_by(own, present, shared, costs), stored_bits(tried, present)
            price = (bits << 16) + spent
            if cheapest < 0 or price < cheapest:
                cheapest = price
                best[row], stored[row], data[row] = number, bits, spent
                levels[span], frequencies[span] = tried, shared


@kernel
def share(levels: I64, present: U8, strides: I64, weights: I64, frequencies: OutI64) -> None:
    """Write the frequencies [rows << 8] of levels [rows << 8], by the stride of each row."""
    for row in range(strides.size):
        span = slice(row << 8, (row + 1) << 8)
        share_out(levels[span], present[span], strides[row], weights, frequencies[span])


@helper
def number_at(data: U8, place: int, width: int) -> int:
    """Return the `width` bits at a position, most significant first; all must be within `data`."""
    value = 0
    for bit in range(place, place + width):
        value = value << 1 | (np.int64(data[bit >> 3]) >> (7 - (bit & 7))) & 1
    return value


@helper
def load_tokens(
    data: U8, place: int, limit: int, present: OutU8, detail: OutI64
) -> tuple[int, int, int, int]:
    """Parse a table up to its levels: status, place after it, resolution and Rice parameter.

    The resolution is -1 for a table with a single token, which has no levels.
    """
    end = 8 * data.size
    last = number_at(data, place, 8) if place + 8 <= end else -1
    detail[0] = last
    if last >= limit:
        return WRONG_TOKEN, place, -1, 0
    if place + 9 > end:
        return TRUNCATED, place, -1, 0
    present[last] = 1
    if number_at(data, place + 8, 1):
        return OK, place + 9, -1, 0
    if place + 15 > end:
        return TRUNCATED, place, -1, 0
    resolution, rice = number_at(data, place + 9, 3), number_at(data, place + 12, 3)
    detail[0] = resolution
    if resolution >= _RESOLUTIONS:
        return WRONG_RESOLUTION, place, resolution, rice
    place += 16
    if place > end:
        return TRUNCATED, place, resolution, rice
    holes = number_at(data, place - 1, 1)
    if holes and place + last > end:
        return TRUNCATED, place, resolution, rice
    for token in range(last):
        present[token] = number_at(data, place + token, 1) if holes else 1
    return OK, place + (last if holes else 0), resolution, rice


@helper
def load_levels(
    data: U8, place: int, deepest: int, rice: int, present: U8, levels: OutI64, detail: OutI64
) -> tuple[int, int]:
    """Parse the levels of a table; return status and place after them."""
    end, level = 8 * data.size, 0
    for token in range(256):
        if not present[token]:
            continue
        start = place
        while place < end and not number_at(data, place, 1):
            place += 1
        if place + 1 + rice > end:
            return TRUNCATED, place
        residual = (place - start) << rice | number_at(data, place + 1, rice)
        place += 1 + rice
        level += (residual >> 1) ^ -(residual & 1)
        if level < 0 or level > deepest:
            detail[0], detail[1] = level, deepest
            return WRONG_LEVEL, place
        levels[token] = level
    return OK, place


@kernel
def load(
    data: U8, limit: int, levels: OutI64, present: OutU8, resolutions: OutI64, detail: OutI64
) -> int:
    """Parse a table for each of `resolutions` [rows], whose tokens are below `limit`.

    Writes `levels` and `present` [rows << 8], which are zero. Returns `OK` or the kind of damage;
    `detail` [2] is then the value found, and the largest level allowed.
    """
    place = 0
    for row in range(resolutions.size):
        span = slice(row << 8, (row + 1) << 8)
        status, place, resolution, rice = load_tokens(data, place, limit, present[span], detail)
        if status == OK and resolution >= 0:
            resolutions[row] = resolution
            deepest = (1 << resolution) * _OCTAVES
            status, place = load_levels(
                data, place, deepest, rice, present[span], levels[span], detail
            )
        if status != OK:
            return status
    if 8 * data.size - place > _PADDING:
        return EXTRA
    for bit in range(place, 8 * data.size):
        if number_at(data, bit, 1):
            return EXTRA
    return OK


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
