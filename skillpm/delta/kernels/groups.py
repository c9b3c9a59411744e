"""Kernels of the codec `bitmap`; `group_changes` and `ungroup_changes` there are their reference.

Words are grouped by their context, in the order of the words: a counting sort. Every group owns a
span of the bitmap and of the values, so no write depends on a length that a stranger states, but
for `values` of `ungroup`, whose size is checked.
"""

import numpy as np

from skillpm.delta.kernels.kernel import U8, OutI64, OutU8, OutWords, Words, kernel

_BYTE = np.uint64(3)
_BIT = np.uint64(7)
_ONE = np.uint64(1)


@kernel
def group(folded: Words, contexts: U8, ends: OutI64, bitmap: OutU8, values: OutWords) -> None:
    """Group differences [n] by contexts [n]: set bits of `bitmap`, write differences less one.

    `bitmap` [⌈n/8⌉] is zero before, `values` has one number more than there are differences that
    are not zero. `ends` [512] gets the ends of the groups in the words, then in the values.
    """
    words = np.zeros(257, np.uint64)
    changes = np.zeros(257, np.uint64)
    for number in range(folded.size):
        context = np.uint64(contexts[number]) + _ONE
        words[context] += _ONE
        changes[context] += np.uint64(folded[number] != 0)
    for context in range(256):
        words[context + 1] += words[context]
        changes[context + 1] += changes[context]
        ends[context] = words[context + 1]
        ends[256 + context] = changes[context + 1]
    unused = np.uint64(values.size - 1)
    for number in range(folded.size):
        context = np.uint64(contexts[number])
        changed = folded[number] != 0
        place, slot = words[context], changes[context]
        words[context] = place + _ONE
        changes[context] = slot + np.uint64(changed)
        bitmap[place >> _BYTE] |= np.uint8(np.uint64(changed) << (_BIT - (place & _BIT)))
        values[slot if changed else unused] = folded[number] - 1


@kernel
def ungroup(bitmap: U8, values: Words, contexts: U8, folded: OutWords) -> int:
    """Write the differences [n] of grouped words; the inverse of `group`.

    Returns 0 without a difference if the bitmap has another number of ones than there are values,
    else 1. `values` has at least one number.
    """
    words = np.zeros(257, np.uint64)
    changes = np.zeros(257, np.uint64)
    for number in range(contexts.size):
        words[np.uint64(contexts[number]) + _ONE] += _ONE
    for context in range(256):
        words[context + 1] += words[context]
        count = changes[context]
        for place in range(words[context], words[context + 1]):
            where = np.uint64(place)
            count += np.uint64(bitmap[where >> _BYTE]) >> (_BIT - (where & _BIT)) & _ONE
        changes[context + 1] = count
    if changes[256] != values.size:
        return 0
    last = np.uint64(values.size - 1)
    for number in range(contexts.size):
        context = np.uint64(contexts[number])
        place, slot = words[context], changes[context]
        words[context] = place + _ONE
        changed = np.uint64(bitmap[place >> _BYTE]) >> (_BIT - (place & _BIT)) & _ONE
        changes[context] = slot + changed
        value = np.uint64(values[min(slot, last)]) + _ONE
        folded[number] = value * changed
    return 1
