"""Kernels of `skillpm.delta.coding.integers`, their reference: folded integers and their tokens."""

import numpy as np

from skillpm.delta.kernels.kernel import I64, U8, U32, OutI64, OutU8, OutU32, helper, kernel

WRONG_CONTEXT = WRONG_COUNT = -1
"""Results for a context that is too large, and for more values of a width than were counted."""
_BYTE_BITS = 8
_WIDEST = 7
_EIGHT, _SIXTEEN, _TWENTY_FOUR = np.uint32(8), np.uint32(16), np.uint32(24)
_LOG2 = np.array([0] + [number.bit_length() - 1 for number in range(1, 256)], dtype=np.uint8)
"""The octave of each byte."""


@helper
def octave_of(value: np.uint32) -> int:
    """Return floor(log2(value)) of a value above zero."""
    if value >> _SIXTEEN:
        if value >> _TWENTY_FOUR:
            return 24 + int(_LOG2[value >> _TWENTY_FOUR])
        return 16 + int(_LOG2[value >> _SIXTEEN])
    if value >> _EIGHT:
        return 8 + int(_LOG2[value >> _EIGHT])
    return int(_LOG2[value])


@helper
def token_of(value: np.uint32, split: int) -> int:
    """Return the token of a folded value: itself, or its octave and quarter from 2^split on."""
    small = int(value)
    if small < 1 << split:
        return small
    octave = octave_of(value)
    quarter = (small >> (octave - 2)) & 3
    return (1 << split) + 4 * (octave - split) + quarter


@kernel
def tokens(folded: U32, split: int, out: OutU8) -> None:
    """Write the token of each folded value [n] to `out` [n]."""
    for number in range(folded.size):
        out[number] = token_of(folded[number], split)


@kernel
def count_tokens(folded: U32, contexts: U8, limit: int, counts: OutI64) -> int:
    """Add to `counts` [limit << 8] the tokens of the widest split, by context.

    Returns 0, or `WRONG_CONTEXT` for a context that is not below `limit`.
    """
    # Neighbours often have the same token, so two tables keep an increment from waiting.
    even, odd = np.zeros(limit << 8, dtype=np.uint32), np.zeros(limit << 8, dtype=np.uint32)
    for number in range(folded.size):
        context = int(contexts[number])
        if context >= limit:
            return WRONG_CONTEXT
        place = context << 8 | token_of(folded[number], _WIDEST)
        if number & 1:
            odd[place] += np.uint32(1)
        else:
            even[place] += np.uint32(1)
    for place in range(counts.size):
        counts[place] += np.int64(even[place]) + np.int64(odd[place])
    return 0


@kernel
def count_bytes(values: U8, counts: OutI64) -> None:
    """Add the number of occurrences of each byte [n] to `counts` [256]."""
    even, odd = np.zeros(256, dtype=np.uint32), np.zeros(256, dtype=np.uint32)
    half = values.size // 2
    for number in range(half):
        even[values[2 * number]] += np.uint32(1)
        odd[values[2 * number + 1]] += np.uint32(1)
    if values.size & 1:
        even[values[values.size - 1]] += np.uint32(1)
    for place in range(256):
        counts[place] += np.int64(even[place]) + np.int64(odd[place])


@kernel
def merge_tokens(counts: I64, narrower: U8, merged: OutI64) -> None:
    """Add up the counts [contexts << 8] of tokens that are one token of a narrower split."""
    for row in range(counts.size >> 8):
        for token in range(256):
            merged[row << 8 | narrower[token]] += counts[row << 8 | token]


@kernel
def pack_raw(
    folded: U32, tokens: U8, lows: U32, widths: U8, counts: I64, starts: I64, out: OutU8
) -> int:
    """Write the raw bits of each folded value [n] above the smallest value of its token.

    For each width [33] of raw bits, `counts` is the number of values and `starts` their offset in
    `out`, which is zero. Returns 0, or `WRONG_COUNT` if a count is wrong.
    """
    done = np.zeros(33, dtype=np.int64)
    for number in range(folded.size):
        token = tokens[number]
        width = np.int64(widths[token])
        if not width:
            continue
        index = done[width]
        if index >= counts[width]:
            return WRONG_COUNT
        done[width] = index + 1
        start, rest = starts[width], np.int64(folded[number]) - np.int64(lows[token])
        for plane in range(width >> 3):
            out[start + plane * counts[width] + index] = np.uint8((rest >> (8 * plane)) & 0xFF)
        bits = width & 7
        if bits:
            bit = index * bits
            at = start + (width >> 3) * counts[width] + (bit >> 3)
            wide = (rest >> (width - bits)) << (bit & 7)
            out[at] |= np.uint8(wide & 0xFF)
            if wide >> 8:
                out[at + 1] |= np.uint8(wide >> 8)
    return 0


@kernel
def unpack_raw(
    tokens: U8, lows: U32, widths: U8, counts: I64, starts: I64, data: U8, folded: OutU32
) -> int:
    """Add to the smallest value of each token [n] its raw bits, which `pack_raw` wrote.

    Returns 0, or `WRONG_COUNT` if a count is wrong. `data` is as long as the counts demand.
    """
    done = np.zeros(33, dtype=np.int64)
    for number in range(tokens.size):
        token = tokens[number]
        width = np.int64(widths[token])
        value = np.int64(lows[token])
        if width:
            index, start = done[width], starts[width]
            if index >= counts[width]:
                return WRONG_COUNT
            done[width] = index + 1
            for plane in range(width >> 3):
                value += np.int64(data[start + plane * counts[width] + index]) << (8 * plane)
            bits = width & 7
            if bits:
                bit = index * bits
                at = start + (width >> 3) * counts[width] + (bit >> 3)
                wide = np.int64(data[at]) >> (bit & 7)
                if (bit & 7) + bits > _BYTE_BITS:
                    wide |= np.int64(data[at + 1]) << (_BYTE_BITS - (bit & 7))
                value += (wide & ((1 << bits) - 1)) << (width - bits)
        folded[number] = np.uint32(value)
    return 0
