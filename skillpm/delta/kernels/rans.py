"""Kernels of the rANS lanes; `skillpm.delta.coding.rans` is their reference.

Of the tokens that are coded, number t * lanes + lane belongs to `lane`. A context with a single
token is not coded: `alone` [256] is 1 for it.
"""

import numpy as np

from skillpm.delta.kernels.kernel import U8, U32, OutU8, OutU16, OutU32, kernel

TRUNCATED, WRONG_CONTEXT = -1, -2
"""Results of `decode` for a stream that ends early, and for a context without a table."""
_LOW = np.uint64(1 << 16)
_TOTAL = np.uint64(1 << 12)
_SLOT = np.uint64((1 << 12) - 1)
_TOKEN = np.uint64(0xFF)
_Q = np.uint64(12)
_HIGH_SHIFT = np.uint64(20)
_WORD = np.uint64(16)
_BYTE = np.uint64(8)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_TWO = np.uint64(2)


@kernel
def count_coded(contexts: U8, alone: U8) -> int:
    """Return the number of contexts [n] whose token is coded."""
    coded = 0
    for number in range(contexts.size):
        coded += alone[contexts[number]] == 0
    return coded


@kernel
def decode(
    contexts: U8, alone: U8, lone: U8, entries: U32, words: U8, states: OutU32, tokens: OutU8
) -> int:
    """Decode the token of each context [n] into `tokens` [n]; return the number of words read.

    `entries` [contexts << 12] are those of the decoder, `lone` [256] the tokens of contexts that
    are not coded, `words` [2 * words] little-endian. Changes `states` [lanes].
    """
    count, lanes = np.uint64(words.size >> 1), np.uint64(states.size)
    rows = np.uint64(entries.size >> 12)
    place, lane = _ZERO, _ZERO
    for number in range(contexts.size):
        context = np.uint64(contexts[number])
        if alone[context]:
            tokens[number] = lone[context]
            continue
        if context >= rows or lane >= lanes:
            return WRONG_CONTEXT
        state = np.uint64(states[lane])
        entry = np.uint64(entries[(context << _Q) | (state & _SLOT)])
        state = (state >> _Q) * (entry >> _HIGH_SHIFT) + (entry & _SLOT)
        if state < _LOW:
            if place >= count:
                return TRUNCATED
            at = place << _ONE
            word = np.uint64(words[at]) | np.uint64(words[at + _ONE]) << _BYTE
            state = state << _WORD | word
            place += _ONE
        states[lane] = np.uint32(state)
        tokens[number] = np.uint8((entry >> _Q) & _TOKEN)
        lane += _ONE
        if lane == lanes:
            lane = _ZERO
    return int(np.int64(place))


@kernel
def encode(tokens: U8, contexts: U8, alone: U8, entries: U32, states: OutU32, words: OutU16) -> int:
    """Encode tokens [n] from the last to the first; return where in `words` [n] the words start.

    `entries` [256 << 8] are those of the encoder. Changes `states` [lanes].
    """
    lanes = np.uint64(states.size)
    lane = np.uint64(count_coded(contexts, alone)) % lanes
    place = np.uint64(words.size)
    for back in range(tokens.size):
        number = tokens.size - 1 - back
        context = np.uint64(contexts[number])
        if alone[context]:
            continue
        lane = (lane or lanes) - _ONE
        entry = np.uint64(entries[context << _BYTE | np.uint64(tokens[number])])
        frequency = entry >> _Q
        state = np.uint64(states[lane])
        if state >= frequency << _HIGH_SHIFT:
            place -= _ONE
            words[place] = np.uint16(state & np.uint64(0xFFFF))
            state >>= _WORD
        quotient = np.uint64(np.uint32(state) // np.uint32(frequency))
        state += quotient * (_TOTAL - frequency) + (entry & _SLOT)
        states[lane] = np.uint32(state)
    return int(np.int64(place))
