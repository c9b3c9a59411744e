"""Interleaved rANS lanes in numpy.

Asymmetric numeral systems are due to Duda (2013, arXiv 1311.2540), their interleaving to Giesen
(2014, arXiv 1402.3392).

Of L lanes, `lane` codes the tokens t * L + lane for t = 0, 1 ..., so that one step of all lanes is
one slice. A state is between 2^16 and 2^32, and reads or writes 16 bits at a time; frequencies have
12 bits. Tokens of a context with a single token are not coded.

Stream: number of lanes (varint), number of words (varint), states (4 bytes each), words (2 bytes
each).
"""

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.frequency_tables import FREQUENCY_BITS, TOTAL, Tables
from skillpm.delta.coding.varint import read_varint, varint
from skillpm.delta.kernels import rans as kernels
from skillpm.delta.kernels import tables as table_kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.errors import IntegrityError

LOW = 1 << 16
"""The smallest state, and the initial state of every lane in the encoder."""
_MOST_LANES = 1 << 13
_LANE_SHARE = 0.006
"""The share of the tokens' bits that the states may cost."""
_LANE_BITS = 24
"""The cost of a lane in bits: a state takes 32 bits, of which about eight encode tokens."""
_BLOCK = 1 << 17
_TRUNCATED = "an entropy-coded stream is truncated"

_Q = np.uint32(FREQUENCY_BITS)
_LOW_BITS = np.uint32(TOTAL - 1)
_HIGH_SHIFT = np.uint32(20)
_WORD = np.uint32(16)

Bytes = npt.NDArray[np.uint8]
Packed = npt.NDArray[np.uint32]


def lane_count(coded: int, bits: float) -> int:
    """Return the number of lanes.

    Their states cost about half a percent of the tokens' bits.
    """
    if not coded:
        return 0
    return max(1, min(_MOST_LANES, coded // 16, int(bits * _LANE_SHARE / _LANE_BITS)))


def lanes_bits(coded: int, bits: float) -> float:
    """Estimate the bits of a stream whose tokens take `bits`."""
    lanes = lane_count(coded, bits)
    return bits + lanes * _LANE_BITS + 8 * (len(varint(lanes)) + len(varint(int(bits) // 16)))


def encode_lanes(tokens: Bytes, contexts: Bytes, tables: Tables) -> bytes:
    """Encode tokens [n], each by the table of its context [n]."""
    if compiled(tokens.size):
        return _encode_compiled(tokens, contexts, tables)
    kept = _coded_places(contexts, tables)
    if kept is not None:
        tokens, contexts = tokens[kept], contexts[kept]
    lanes = lane_count(tokens.size, tables.data_bits)
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
    return _stream(states, np.concatenate(parts[::-1]))


def _stream(states: Packed, words: npt.NDArray[np.uint16]) -> bytes:
    head = varint(states.size) + varint(words.size)
    return head + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()


def _encode_compiled(tokens: Bytes, contexts: Bytes, tables: Tables) -> bytes:
    alone = _alone(tables)
    lanes = lane_count(kernels.count_coded(contexts, alone), tables.data_bits)
    states = np.full(lanes, LOW, dtype=np.uint32)
    if not lanes:
        return _stream(states, np.empty(0, dtype=np.uint16))
    words = np.empty(tokens.size, dtype=np.uint16)
    entries = _encoder_entries(tables)
    start = kernels.encode(tokens, contexts, alone, entries, states, words)
    return _stream(states, words[start:])


def _encode_block(entries: Packed, states: Packed) -> npt.NDArray[np.uint16]:
    """Encode entries [n] (frequency << 12 | start) from the last step to the first.

    Changes `states` in place and returns the words written.
    """
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
        # x = x // f * 4096 + x % f + start, where x % f = x - x // f * f.
        quotient = x // frequency
        np.subtract(np.uint32(TOTAL), frequency, out=frequency)
        quotient *= frequency
        x += quotient
        x += entry & _LOW_BITS
    return buffer[place:].copy()


def decode_lanes(data: bytes, start: int, contexts: Bytes, tables: Tables) -> tuple[Bytes, int]:
    """Decode the token of each context [n]; also return the position after the stream.

    Raises `IntegrityError` if the stream is damaged.
    """
    lanes, start = read_varint(data, start)
    count, start = read_varint(data, start)
    end = start + 4 * lanes + 2 * count
    coded = _coded(contexts, tables)
    if lanes > coded or (coded and not lanes) or end > len(data):
        raise IntegrityError(f"{lanes} lanes do not fit an entropy-coded stream of this size")
    states = np.frombuffer(data, dtype="<u4", count=lanes, offset=start).astype(np.uint32)
    words = np.frombuffer(data, dtype=np.uint8, count=2 * count, offset=start + 4 * lanes)
    if (states < LOW).any():
        raise IntegrityError(f"a state of an entropy-coded stream is below {LOW}")
    decode = _decode_compiled if compiled(contexts.size) else _decode_plain
    return decode(contexts, states, words, tables), end


def _decode_compiled(contexts: Bytes, states: Packed, words: Bytes, tables: Tables) -> Bytes:
    tokens = np.empty(contexts.size, dtype=np.uint8)
    alone, lone = _alone(tables), _lone_tokens(tables)
    entries = _decoder_entries(tables)
    read = kernels.decode(contexts, alone, lone, entries, words, states, tokens)
    if read == kernels.TRUNCATED:
        raise IntegrityError(_TRUNCATED)
    _check_end(states, read == words.size // 2)
    return tokens


def _decode_plain(contexts: Bytes, states: Packed, words: Bytes, tables: Tables) -> Bytes:
    kept = _coded_places(contexts, tables)
    coded = _decode_blocks(
        contexts if kept is None else contexts[kept],
        states,
        words.view("<u2"),
        _decoder_entries(tables),
    )
    if kept is None:
        return coded
    tokens = _lone_tokens(tables)[contexts]
    tokens[kept] = coded
    return tokens


def _check_end(states: Packed, read_all: bool) -> None:  # noqa: FBT001 - one flag, named
    """Raise `IntegrityError` unless all words were read and all lanes are in the initial state."""
    if not read_all or (states != LOW).any():
        raise IntegrityError("an entropy-coded stream does not end in its initial state")


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
        block, place = _decode_block(wide, states, words, place, entries)
        tokens[start : start + step] = block
    _check_end(states, place == words.size)
    return tokens


def _decode_block(
    bases: npt.NDArray[np.intp],
    states: Packed,
    words: npt.NDArray[np.uint16],
    place: int,
    entries: Packed,
) -> tuple[Bytes, int]:
    """Decode one token per base and return the tokens and the number of words read.

    A base is the offset of its context in `entries`. Changes `states` in place.
    """
    lanes = states.size
    decoded = np.empty(bases.size, dtype=np.uint32)
    spare, index = np.empty(lanes, dtype=np.uint32), np.empty(lanes, dtype=np.intp)
    for start in range(0, bases.size, lanes):
        entry = decoded[start : start + lanes]
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
                raise IntegrityError(_TRUNCATED)
            x[low] = (x[low] << _WORD) | words[place:stop]
            place = stop
    np.right_shift(decoded, _Q, out=decoded)
    return decoded.astype(np.uint8), place


def _coded_places(contexts: Bytes, tables: Tables) -> npt.NDArray[np.intp] | None:
    """Return the positions of the tokens that are coded; None if all of them are."""
    single = tables.single()
    if not single.any():
        return None
    coded = np.zeros(256, dtype=np.bool_)
    coded[tables.used[~single]] = True
    return np.flatnonzero(coded[contexts])


def _coded(contexts: Bytes, tables: Tables) -> int:
    """Return the number of tokens that are coded."""
    if not tables.single().any():
        return contexts.size
    if compiled(contexts.size):
        return kernels.count_coded(contexts, _alone(tables))
    kept = _coded_places(contexts, tables)
    return contexts.size if kept is None else kept.size


def _alone(tables: Tables) -> Bytes:
    """Return 1 for each context [256] with a single token, which is not coded."""
    alone = np.zeros(256, dtype=np.uint8)
    alone[tables.used[tables.single()]] = 1
    return alone


def _lone_tokens(tables: Tables) -> Bytes:
    """Return the most frequent token of each context, the only one if the context is not coded."""
    lone = np.zeros(256, dtype=np.uint8)
    lone[tables.used] = tables.frequencies.argmax(axis=1)
    return lone


def _starts(tables: Tables) -> npt.NDArray[np.int64]:
    return np.cumsum(tables.frequencies, axis=1) - tables.frequencies


def _encoder_entries(tables: Tables) -> Packed:
    """Build the table of the encoder, indexed by context << 8 | token: frequency << 12 | start."""
    entries = np.zeros((256, 256), dtype=np.uint32)
    entries[tables.used] = tables.frequencies << FREQUENCY_BITS | _starts(tables)
    return entries.reshape(-1)


def _decoder_entries(tables: Tables) -> Packed:
    """Build the table of the decoder, indexed by context << 12 | slot.

    An entry is frequency << 20 | token << 12 | slot - start.
    """
    slots = np.arange(TOTAL)
    entries = np.zeros((int(tables.used.max(initial=0)) + 1, TOTAL), dtype=np.uint32)
    if compiled(entries.size):
        frequencies = tables.frequencies.reshape(-1)
        table_kernels.decoder_entries(tables.used, _alone(tables), frequencies, entries.reshape(-1))
        return entries.reshape(-1)
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
