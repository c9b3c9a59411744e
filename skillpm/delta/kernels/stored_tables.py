"""Kernels of `skillpm.delta.coding.stored_tables`, their reference. Rows have 256 entries."""

import numpy as np

from skillpm.delta.kernels.kernel import I64, U8, OutI64, OutU8, helper, kernel

OK, TRUNCATED, WRONG_TOKEN, WRONG_RESOLUTION, WRONG_LEVEL, EXTRA = 0, 1, 2, 3, 4, 5
"""Results of `load`."""
_OCTAVES = 14
_RESOLUTIONS = 5
_PADDING = 7
MOST_BYTES = 2 + 32 + 256 * (1 + 7 + (32 * _OCTAVES >> 7)) // 8
"""The most bytes of a stored table whose Rice parameter is the best: head, tokens, residuals."""


@helper
def number_at(data: U8, place: int, width: int) -> int:
    """Return the `width` bits at a position, most significant first; all must be within `data`."""
    value = 0
    for bit in range(place, place + width):
        value = value << 1 | (int(data[bit >> 3]) >> (7 - (bit & 7))) & 1
    return value


@helper
def load_tokens(
    data: U8, place: int, limit: int, present: OutU8, detail: OutI64
) -> tuple[int, int, int, int]:
    """Parse a table up to its levels: status, place after it, resolution and Rice parameter.

    The resolution is -1 for a table with a single token, which has no levels.
    """
    end = 8 * data.size
    status, resolution, rice = OK, -1, 0
    last = number_at(data, place, 8) if place + 8 <= end else -1
    detail[0] = last
    if last >= limit:
        status = WRONG_TOKEN
    elif place + 9 > end:
        status = TRUNCATED
    else:
        present[last] = 1
        place += 9
        if not number_at(data, place - 1, 1):
            status, place, resolution, rice = load_shape(data, place, last, present, detail)
    return status, place, resolution, rice


@helper
def load_shape(
    data: U8, place: int, last: int, present: OutU8, detail: OutI64
) -> tuple[int, int, int, int]:
    """Parse the resolution, the Rice parameter and the tokens below the last, as `load_tokens`."""
    end = 8 * data.size
    if place + 6 > end:
        return TRUNCATED, place, -1, 0
    resolution, rice = number_at(data, place, 3), number_at(data, place + 3, 3)
    detail[0] = resolution
    if resolution >= _RESOLUTIONS:
        return WRONG_RESOLUTION, place, resolution, rice
    place += 7
    holes = place <= end and number_at(data, place - 1, 1) == 1
    stop = place + (last if holes else 0)
    if stop > end:
        return TRUNCATED, place, resolution, rice
    for token in range(last):
        present[token] = number_at(data, place + token, 1) if holes else 1
    return OK, stop, resolution, rice


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


@helper
def put_number(out: OutU8, place: int, value: int, width: int) -> int:
    """Write the `width` bits of a value at a position, which is zero; return the next position."""
    for bit in range(width):
        at = place + bit
        out[at >> 3] |= np.uint8(((value >> (width - 1 - bit)) & 1) << (7 - (at & 7)))
    return place + width


@helper
def put_tokens(present: U8, last: int, out: OutU8, place: int) -> int:
    """Write whether tokens below the last are absent, and which if so; return the next position."""
    places = 0
    for token in range(last):
        places += present[token]
    place = put_number(out, place, int(places < last), 1)
    if places < last:
        for token in range(last):
            place = put_number(out, place, present[token], 1)
    return place


@helper
def put_levels(residuals: I64, present: U8, rice: int, out: OutU8, place: int) -> int:
    """Write the residuals of the tokens that are present; return the next position."""
    for token in range(256):
        if present[token]:
            place = put_number(out, place + (residuals[token] >> rice), 1, 1)
            place = put_number(out, place, residuals[token] & ((1 << rice) - 1), rice)
    return place


@kernel
def dump(residuals: I64, present: U8, resolutions: I64, rices: I64, out: OutU8) -> int:
    """Write tables to `out`, which is zero and has `MOST_BYTES` for each; return the bits.

    The differences of levels and `present` are [rows << 8]; every row has a token.
    """
    place = 0
    for row in range(resolutions.size):
        own = present[row << 8 : (row + 1) << 8]
        places, last = 0, 0
        for token in range(256):
            if own[token]:
                places, last = places + 1, token
        place = put_number(out, place, last, 8)
        place = put_number(out, place, int(places == 1), 1)
        if places > 1:
            place = put_number(out, place, resolutions[row], 3)
            place = put_number(out, place, rices[row], 3)
            place = put_tokens(own, last, out, place)
            steps = residuals[row << 8 : (row + 1) << 8]
            place = put_levels(steps, own, rices[row], out, place)
    return place
