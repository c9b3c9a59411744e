"""Kernels of the codec `bitmap`; `group_changes` and `ungroup_changes` there are their reference.

Words are grouped by their context, in the order of the words: a counting sort. Every group owns a
span of the bitmap and of the values, so no write depends on an untrusted length. The
size of `values` in `ungroup` is checked.
"""

import numpy as np

from skillpm.delta.kernels.kernel import U8, OutI64, OutU8, OutWords, Words, kernel

_ONE = np.uint64(1)
_HALF = np.uint64(32)
_PLACE = np.uint64(0xFFFFFFFF)
"""A counter of a context: the place of its next word, and above 2^32 the slot of its next value.

One counter instead of two, and one byte per word instead of one bit, save a quarter of the time:
each word depends on what the word before has written.
"""


@kernel
def group(folded: Words, contexts: U8, ends: OutI64, changed: OutU8, values: OutWords) -> None:
    """Group differences [n] by contexts [n]: mark those that are not 0, write them less one.

    `changed` [n] gets a 1 for every difference that is not 0; n < 2^32. `values` has one number
    more than there are such differences. `ends` [512] gets the ends of the groups in the words,
    then in the values.
    """
    counts = np.zeros((2, 257), np.uint64)
    for number in range(folded.size):
        changes = np.uint64(folded[number] != 0)
        counts[number & 1, np.uint64(contexts[number]) + _ONE] += _ONE | changes << _HALF
    counters = counts[0]
    for below in range(256):
        counters[below + 1] += counts[1, below + 1] + counters[below]
        ends[below] = counters[below + 1] & _PLACE
        ends[256 + below] = counters[below + 1] >> _HALF
    unused = np.uint64(values.size - 1)
    for number in range(folded.size):
        key = np.uint64(contexts[number])
        is_changed = np.uint64(folded[number] != 0)
        counter = counters[key]
        counters[key] = counter + (_ONE | is_changed << _HALF)
        changed[counter & _PLACE] = np.uint8(is_changed)
        values[counter >> _HALF if is_changed else unused] = folded[number] - 1


@kernel
def ungroup(changed: U8, values: Words, contexts: U8, folded: OutWords) -> int:
    """Write the differences [n] of grouped words; the inverse of `group`.

    `changed` [n] has zeros and ones. Returns 0 without a difference if it has another number of
    ones than there are values, else 1. `values` has at least one number; n < 2^32.
    """
    counts = np.zeros((2, 257), np.uint64)
    for number in range(contexts.size):
        counts[number & 1, np.uint64(contexts[number]) + _ONE] += _ONE
    counters = counts[0]
    ones = np.uint64(0)
    for below in range(256):
        start = counters[below] & _PLACE
        stop = start + counts[0, below + 1] + counts[1, below + 1]
        for place in range(start, stop):
            ones += np.uint64(changed[place])
        counters[below + 1] = stop | ones << _HALF
    if ones != values.size:
        return 0
    last = np.uint64(values.size - 1)
    for number in range(contexts.size):
        key = np.uint64(contexts[number])
        counter = counters[key]
        is_changed = np.uint64(changed[counter & _PLACE])
        counters[key] = counter + (_ONE | is_changed << _HALF)
        value = np.uint64(values[min(counter >> _HALF, last)]) + _ONE
        folded[number] = value * is_changed
    return 1
