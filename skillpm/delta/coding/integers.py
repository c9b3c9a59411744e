"""A static entropy coder for small integers with known contexts; a stream delimits itself.

An integer is folded (zigzag: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...). Folded values below 2^split
are tokens. For a larger value, the token encodes its octave and the quarter of the octave, and the
remaining low bits follow raw, as in the hybrid integers of JPEG XL. Each context has a frequency
table of its tokens; interleaved rANS lanes code the tokens (`coding.rans`). Tables are integers, so
every machine decodes the same values.

Stream: split (1 byte), length of the tables (varint), tables, tokens (lanes), raw bits. The decoder
gets the number of integers and the context of each from its caller.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from skillpm.delta.coding.frequency_tables import (
    DRAFT,
    RESOLUTIONS,
    TABLE_WORK,
    TOKENS,
    Tables,
    choose_tables,
)
from skillpm.delta.coding.rans import decode_lanes, encode_lanes, lanes_bits
from skillpm.delta.coding.raw_bits import RawLayout, byte_counts, pack_raw, raw_bytes, unpack_raw
from skillpm.delta.coding.stored_tables import dump_tables, load_tables
from skillpm.delta.coding.varint import read_varint, varint
from skillpm.delta.kernels import integers as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.errors import IntegrityError

CONTEXTS = 64
"""Contexts are integers below this."""
SPLITS = (3, 4, 5, 6, 7)
"""The splits that an encoder tries; a stream stores the one used."""
_WIDEST = SPLITS[-1]
_BLOCK = 1 << 17
"""Elements that are counted at once, to bound memory."""

Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Folded = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CodingPlan:
    """The encoder's choices, the split and the tables, and the size of the stream in bits."""

    split: int
    tables: Tables
    bits: float


def encode_integers(values: Ints, contexts: Bytes) -> bytes:
    """Encode flat `values` [n], each under its context [n] (below 64).

    The same input gives the same bytes. A context in which a single token occurs costs nothing per
    integer. Raises `ValueError` for a context that is too large.
    """
    return encode_folded(_fold(values), contexts)


def decode_integers(data: bytes, contexts: Bytes) -> Ints:
    """Decode one integer per context [n]: the inverse of `encode_integers`.

    Memory is bounded by the size of `contexts`. Raises `IntegrityError` if the stream is damaged.
    """
    return unfold(decode_folded(data, contexts))


def unfold(folded: Folded | Bytes) -> Ints:
    """Return the integers [n] of folded values [n]."""
    if folded.dtype == np.uint8:
        return _NUMBERS[folded]
    return _unfold(folded.astype(np.uint32, copy=False))


def integer_bits(values: Ints, contexts: Bytes) -> float:
    """Estimate the bits that `encode_integers` would produce, without encoding."""
    return plan_folded(_fold(values), contexts).bits


def encode_folded(folded: Folded, contexts: Bytes, plan: CodingPlan | None = None) -> bytes:
    """Encode unsigned integers [n], mostly small, each under its context [n] (below 64).

    `plan` is what `plan_folded` returned for them; it is made if it is not given.
    """
    plan = plan or plan_folded(folded, contexts)
    tokens = _tokens_of(folded, plan.split)
    tables = dump_tables(plan.tables)
    head = bytes([plan.split]) + varint(len(tables)) + tables
    lanes = encode_lanes(tokens, contexts, plan.tables)
    if plan.tables.reach <= 1 << plan.split:
        return head + lanes
    return head + lanes + pack_raw(folded, tokens, _raw_layout(plan.split))


def decode_folded(data: bytes, contexts: Bytes) -> Folded | Bytes:
    """Decode what `encode_folded` wrote; as uint8 if all values are below 2^split.

    Raises `IntegrityError` if the stream is damaged.
    """
    if not data or data[0] not in SPLITS:
        raise IntegrityError("an entropy-coded stream has an unknown split")
    split = data[0]
    size, start = read_varint(data, 1)
    used = _used(contexts)
    if used.size and used[-1] >= CONTEXTS:
        raise IntegrityError(f"a context is {used[-1]}, expected less than {CONTEXTS}")
    if size > len(data) - start:
        raise IntegrityError("an entropy-coded stream is truncated within its frequency tables")
    tables = load_tables(data[start : start + size], used, _token_limit(split))
    tokens, end = decode_lanes(data, start + size, contexts, tables)
    layout = _raw_layout(split)
    if tables.reach <= 1 << split:
        unpack_raw(data[end:], tokens[:0], layout)
        return tokens
    return unpack_raw(data[end:], tokens, layout)


def plan_folded(folded: Folded, contexts: Bytes) -> CodingPlan:
    """Choose how to encode integers [n] under contexts [n], and estimate the bits."""
    return plan_counts(count_folded(folded, contexts))


def plan_counts(histogram: Counts) -> CodingPlan:
    """Choose the cheapest split and tables, given counts [contexts, tokens] of `count_folded`.

    Splits are compared with tables of a medium resolution, which favours none of them.
    """
    splits = _useful_splits(histogram)
    if len(splits) > 1:
        drafts = [_plan_of(histogram, split, DRAFT) for split in splits]
        splits = (min(drafts, key=lambda plan: plan.bits).split,)
    return _plan_of(histogram, splits[0], RESOLUTIONS)


def _plan_of(histogram: Counts, split: int, resolutions: tuple[int, ...]) -> CodingPlan:
    counts = histogram if split == _WIDEST else _merge(histogram, split)
    tables = choose_tables(counts, resolutions)
    raw = raw_bytes(counts.sum(axis=0), _raw_layout(split).widths)
    bits = 8 * (2 + raw) + tables.stored_bits + lanes_bits(tables.coded, tables.data_bits)
    return CodingPlan(split, tables, bits)


def _useful_splits(histogram: Counts) -> tuple[int, ...]:
    """Return the splits worth trying: a split wider than all values adds nothing."""
    used = np.flatnonzero(histogram.any(axis=0))
    top = int(used[-1]) if used.size else 0
    enough = [place for place, split in enumerate(SPLITS) if top < 1 << split]
    return SPLITS[: enough[0] + 1] if enough else SPLITS


def _merge(histogram: Counts, split: int) -> Counts:
    """Convert counts at the widest split to counts at a narrower one.

    Each quarter of an octave of the narrower split is a union of tokens of the widest split.
    """
    narrower = _narrower(split)
    counts = np.zeros_like(histogram)
    if compiled(TABLE_WORK):
        kernels.merge_tokens(histogram.reshape(-1), narrower, counts.reshape(-1))
        return counts
    for place in range(TOKENS):
        counts[:, narrower[place]] += histogram[:, place]
    return counts


@cache
def _narrower(split: int) -> Bytes:
    """Return the token at a narrower split of each token [256] of the widest one."""
    return _tokens_of(_raw_layout(_WIDEST).lows, split)


def count_folded(folded: Folded, contexts: Bytes, limit: int = CONTEXTS) -> Counts:
    """Count the tokens of integers [n] at the widest split by their context [n], [limit, tokens].

    Raises `ValueError` for a context that is not below `limit`.
    """
    if compiled(folded.size):
        counts = np.zeros(limit << 8, dtype=np.int64)
        if kernels.count_tokens(folded, contexts, limit, counts) == kernels.WRONG_CONTEXT:
            raise ValueError(f"a context is {contexts.max()}, expected less than {limit}")
        return counts.reshape(limit, TOKENS)
    return _count_plain(_tokens_of(folded, _WIDEST), contexts, limit)


def token_lows() -> Folded:
    """Return the smallest value of each token [256] of `count_folded`."""
    return _raw_layout(_WIDEST).lows


def _count_plain(tokens: Bytes, contexts: Bytes, limit: int) -> Counts:
    """Count block by block, because numpy converts what it counts to eight bytes each."""
    if contexts.size and int(contexts.max()) >= limit:
        raise ValueError(f"a context is {contexts.max()}, expected less than {limit}")
    counts = np.zeros(limit << 8, dtype=np.int64)
    for start in range(0, tokens.size, _BLOCK):
        keys = contexts[start : start + _BLOCK].astype(np.intp)
        keys <<= 8
        keys |= tokens[start : start + _BLOCK]
        counts += np.bincount(keys, minlength=limit << 8)
    return counts.reshape(limit, TOKENS)


def _used(contexts: Bytes) -> npt.NDArray[np.intp]:
    """Return the contexts that occur, ascending."""
    return np.flatnonzero(byte_counts(contexts))


def _fold(values: Ints) -> Folded:
    signs = values >> np.int32(31)
    signs ^= values << np.int32(1)
    folded: Folded = signs.view(np.uint32)
    return folded


def _unfold(folded: Folded) -> Ints:
    signs = folded & np.uint32(1)
    np.negative(signs, out=signs)
    signs ^= folded >> np.uint32(1)
    return signs.view(np.int32)


_NUMBERS = _unfold(np.arange(TOKENS, dtype=np.uint32))
"""The integer that each token below 2^split stands for."""


def _token_limit(split: int) -> int:
    return (1 << split) + 4 * (32 - split)


def _tokens_of(folded: Folded, split: int) -> Bytes:
    """Return the token of each value [n].

    A value below 2^split is its own token; a larger value has the token 2^split + 4 (octave -
    split) + quarter.
    """
    if compiled(folded.size):
        out = np.empty(folded.size, dtype=np.uint8)
        kernels.tokens(folded, split, out)
        return out
    if not folded.size or int(folded.max()) < 1 << split:
        return folded.astype(np.uint8)
    tokens = folded.astype(np.uint8)
    wide = np.flatnonzero(folded >= np.uint32(1 << split))
    # The conversion to float64 is exact; its exponent and two mantissa bits give the quarter.
    quarters = folded[wide].astype(np.float64).view(np.int64) >> 50
    tokens[wide] = quarters - (4 * (1023 + split) - (1 << split))
    return tokens


@cache
def _raw_layout(split: int) -> RawLayout:
    """Return the number of raw bits that follow each token, and its smallest folded value."""
    widths = np.zeros(TOKENS, dtype=np.uint8)
    lows = np.arange(TOKENS, dtype=np.uint32)
    beyond = np.arange(_token_limit(split) - (1 << split))
    octave, quarter = split + (beyond >> 2), beyond & 3
    widths[(1 << split) + beyond] = octave - 2
    lows[(1 << split) + beyond] = (4 + quarter) << (octave - 2)
    lows[_token_limit(split) :] = 0
    return RawLayout(widths, lows)
