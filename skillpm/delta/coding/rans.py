"""Interleaved rANS lanes in numpy.

The coder is Duda's (2013, arXiv 1311.2540), interleaved as by Giesen (2014, arXiv 1402.3392).

Token t * L + lane belongs to `lane`, so that each step of all L lanes is one slice. States lie in
2^16 .. 2^32 and give or take 16 bits at a time; frequencies have 12 bits. Tokens of a context
that holds a single token are left out.

A stream: lanes (varint), words (varint), states (4 bytes each), words (2 bytes each).
"""

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.frequency_tables import FREQUENCY_BITS, TOTAL, Tables
from skillpm.delta.coding.varint import read_varint, varint
from skillpm.errors import IntegrityError

LOW = 1 << 16
"""The least state, and the one that every lane of the encoder begins with."""
_MOST_LANES = 1 << 13
_LANE_SHARE = 0.006
_LANE_BITS = 24
"""A state takes 32 bits, of which eight, on average, hold tokens."""
_BLOCK = 1 << 17

_Q = np.uint32(FREQUENCY_BITS)
_LOW_BITS = np.uint32(TOTAL - 1)
_HIGH_SHIFT = np.uint32(20)
_WORD = np.uint32(16)

Bytes = npt.NDArray[np.uint8]
Packed = npt.NDArray[np.uint32]


def lanes_of(coded: int, bits: float) -> int:
    """So many lanes that their states cost about half a percent of the tokens' bits."""
    if not coded:
        return 0
    return max(1, min(_MOST_LANES, coded // 16, int(bits * _LANE_SHARE / _LANE_BITS)))


def lanes_bits(coded: int, bits: float) -> float:
    """About the bits of a stream whose tokens take `bits`."""
    lanes = lanes_of(coded, bits)
    return bits + lanes * _LANE_BITS + 8 * (len(varint(lanes)) + len(varint(int(bits) // 16)))


def encode_lanes(tokens: Bytes, contexts: Bytes, tables: Tables) -> bytes:
    """All tokens, each under its context's table."""
    kept = _coded_places(contexts, tables)
    if kept is not None:
        tokens, contexts = tokens[kept], contexts[kept]
    lanes = lanes_of(tokens.size, tables.data_bits)
    if not lanes:
        return varint(0) + varint(0)
    entries = _encoder_entries(tables)
    states = np.full(lanes, LOW, dtype=np.uint32)
    parts: list[npt.NDArray[np.uint16]] = []
    starts = range(0, tokens.size, max(1, _BLOCK // lanes) * lanes)
    for start in reversed(starts):
        stop = min(start + starts.step, tokens.size)
        keys = contexts[start:stop].astype(np.intp)
        keys <<= 8
        keys |= tokens[start:stop]
        parts.append(_encode_block(entries.take(keys), states))
    words = np.concatenate(parts[::-1])
    head = varint(lanes) + varint(words.size)
    return head + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()


def _encode_block(entries: Packed, states: Packed) -> npt.NDArray[np.uint16]:
    """Push entries (frequency << 12 | start) from the last step to the first."""
    lanes = states.size
    buffer = np.empty(entries.size, dtype=np.uint16)
    place = entries.size
    top = (entries.size - 1) // lanes * lanes
    for start in range(top, -1, -lanes):
        entry = entries[start : start + lanes]
        x = states[: entry.size]
        frequency = entry >> _Q
        full = np.flatnonzero(x >= frequency << _HIGH_SHIFT)
        if full.size:
            large = x[full]
            place -= full.size
            buffer[place : place + full.size] = large
            x[full] = large >> _WORD
        # x // f * 4096 + x % f + start, with the remainder written as x - x // f * f
        quotient = x // frequency
        np.subtract(np.uint32(TOTAL), frequency, out=frequency)
        quotient *= frequency
        x += quotient
        x += entry & _LOW_BITS
    return buffer[place:].copy()


def decode_lanes(data: bytes, start: int, contexts: Bytes, tables: Tables) -> tuple[Bytes, int]:
    """The token of each context, and where the stream ends. Raises `IntegrityError`."""
    kept = _coded_places(contexts, tables)
    wanted = contexts if kept is None else contexts[kept]
    lanes, start = read_varint(data, start)
    count, start = read_varint(data, start)
    end = start + 4 * lanes + 2 * count
    if lanes > wanted.size or (wanted.size and not lanes) or end > len(data):
        raise IntegrityError("the lanes of an entropy-coded stream do not fit its size")
    states = np.frombuffer(data, dtype="<u4", count=lanes, offset=start).astype(np.uint32)
    words = np.frombuffer(data, dtype="<u2", count=count, offset=start + 4 * lanes)
    if (states < LOW).any():
        raise IntegrityError("a state of an entropy-coded stream is out of range")
    coded = _decode_blocks(wanted, states, words, _decoder_entries(tables))
    if kept is None:
        return coded, end
    tokens = _lone_tokens(tables)[contexts]
    tokens[kept] = coded
    return tokens, end


def _decode_blocks(
    contexts: Bytes, states: Packed, words: npt.NDArray[np.uint16], entries: Packed
) -> Bytes:
    lanes = max(1, states.size)
    tokens = np.empty(contexts.size, dtype=np.uint8)
    step = max(1, _BLOCK // lanes) * lanes
    place = 0
    for start in range(0, contexts.size, step):
        wide = contexts[start : start + step].astype(np.intp)
        wide <<= FREQUENCY_BITS
        found, place = _decode_block(wide, states, words, place, entries)
        tokens[start : start + step] = found
    if place != words.size or (states != LOW).any():
        raise IntegrityError("an entropy-coded stream does not end as it began: it is damaged")
    return tokens


def _decode_block(
    bases: npt.NDArray[np.intp],
    states: Packed,
    words: npt.NDArray[np.uint16],
    place: int,
    entries: Packed,
) -> tuple[Bytes, int]:
    """Pop one token per base (its context's place in `entries`); states are changed."""
    lanes = states.size
    found = np.empty(bases.size, dtype=np.uint32)
    spare, index = np.empty(lanes, dtype=np.uint32), np.empty(lanes, dtype=np.intp)
    for start in range(0, bases.size, lanes):
        entry = found[start : start + lanes]
        x, part, slot = states[: entry.size], spare[: entry.size], index[: entry.size]
        np.bitwise_and(x, _LOW_BITS, out=part)
        np.add(bases[start : start + lanes], part, out=slot, casting="unsafe")
        entries.take(slot, out=entry, mode="wrap")
        np.right_shift(x, _Q, out=x)
        np.right_shift(entry, _HIGH_SHIFT, out=part)
        np.multiply(x, part, out=x)
        np.bitwise_and(entry, _LOW_BITS, out=part)
        np.add(x, part, out=x)
        low = (x < LOW).nonzero()[0]
        if low.size:
            stop = place + low.size
            if stop > words.size:
                raise IntegrityError("an entropy-coded stream ends early")
            x[low] = (x[low] << _WORD) | words[place:stop]
            place = stop
    np.right_shift(found, _Q, out=found)
    return found.astype(np.uint8), place


def _coded_places(contexts: Bytes, tables: Tables) -> npt.NDArray[np.intp] | None:
    """Where a token is coded; None where all are."""
    single = tables.single()
    if not single.any():
        return None
    coded = np.zeros(256, dtype=np.bool_)
    coded[tables.used[~single]] = True
    return np.flatnonzero(coded[contexts])


def _lone_tokens(tables: Tables) -> Bytes:
    """By context: the most frequent token, which is the only one where a context is not coded."""
    lone = np.zeros(256, dtype=np.uint8)
    lone[tables.used] = tables.frequencies.argmax(axis=1)
    return lone


def _starts(tables: Tables) -> npt.NDArray[np.int64]:
    return np.cumsum(tables.frequencies, axis=1) - tables.frequencies


def _encoder_entries(tables: Tables) -> Packed:
    """At context << 8 | token: frequency << 12 | start."""
    entries = np.zeros((256, 256), dtype=np.uint32)
    entries[tables.used] = tables.frequencies << FREQUENCY_BITS | _starts(tables)
    return entries.reshape(-1)


def _decoder_entries(tables: Tables) -> Packed:
    """At context << 12 | slot: frequency << 20 | token << 12 | slot - start."""
    slots = np.arange(TOTAL)
    entries = np.zeros((int(tables.used.max(initial=0)) + 1, TOTAL), dtype=np.uint32)
    single = tables.single()
    for row, context in enumerate(tables.used.tolist()):
        if not single[row]:
            frequencies, starts = tables.frequencies[row], _starts_of(tables.frequencies[row])
            tokens = np.repeat(np.arange(256), frequencies)
            packed = frequencies[tokens] << 20 | tokens << FREQUENCY_BITS
            entries[context] = packed | (slots - starts[tokens])
    return entries.reshape(-1)


def _starts_of(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.cumsum(frequencies) - frequencies
