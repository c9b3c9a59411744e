"""The bytes of exact encoding: measured for a small tensor, else estimated from sampled rows."""

from collections.abc import Iterable
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt

from skillpm.delta.auto.strata import Places, Strata
from skillpm.delta.codecs.lossless_classes import Grid, choose_cells
from skillpm.delta.codecs.lossless_contexts import CELLS, LARGEST, WIDEST, exponents_of
from skillpm.delta.codecs.shared.classes import encode_classes
from skillpm.delta.codecs.shared.octaves import Octaves
from skillpm.delta.coding.integers import CONTEXTS, count_folded, plan_counts
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.streams import Chunk
from skillpm.delta.tensors.words import Words, difference

SMALL = 1 << 14
"""Tensors with fewer entries are encoded to learn their bytes."""
_TOKENS, _SINGLES = 256, 64
_TABLE_BITS, _TOKEN_BITS = 16.0, 3.0
_UNCOMPRESSED = 0.9
"""The share of their bytes that words wider than `WIDEST` are guessed to take."""


def measured_bytes(pair: Pair, chunks: Iterable[Chunk]) -> int:
    """Return the bytes of the parts of exact encoding, by encoding the tensor."""
    with TemporaryFile() as spool:
        Lossless().encode(pair, chunks, PayloadWriter(spool))
        return spool.tell()


def estimated_bytes(reference: Words, tuned: Words, dtype: str, strata: Strata, rows: int) -> float:
    """Estimate the bytes of mode `r` from the sampled rows [k, n] of both tensors with `rows` rows.

    The contexts are those of `codecs.lossless_contexts`: the exponent of the reference, or with it
    the classes of row and column.
    """
    if reference.itemsize > WIDEST:
        return _UNCOMPRESSED * float(reference.itemsize * reference.shape[1] * rows)
    sampled, width = reference.shape
    folded = difference(reference.reshape(-1), tuned.reshape(-1), dtype)
    exponents = exponents_of(reference.reshape(-1), dtype)
    weights = np.repeat(strata.row_weights, width)
    anchor = _anchor(exponents, weights)
    below = np.minimum(anchor - np.minimum(exponents, anchor), CONTEXTS - 1).astype(np.uint8)
    tokens, raw = _tokens(folded.astype(np.int64))
    fixed = float(weights @ raw)
    plain = _bits(below, tokens, weights)
    grid = Grid(sampled, width, 0, folded.size)
    counts = count_folded(folded.astype(np.uint32), below)
    chosen = choose_cells(grid, folded, below, counts, plan_counts(counts).bits)
    if chosen is None:
        return (fixed + plain) / 8
    classes, floor, sums = chosen
    octaves = Octaves(_anchor(exponents, weights, LARGEST), floor, sums)
    cells = octaves.contexts(grid.contexts(classes), exponents, CELLS)
    sides = [8.0 * len(encode_classes(side)) for side in (classes.rows, classes.columns)]
    own = sides[0] * rows / sampled + sides[1]
    return float(fixed + min(plain, own + _bits(cells, tokens, weights))) / 8


def _anchor(exponents: npt.NDArray[np.uint8], weights: Floats, one_in: int = 1000) -> int:
    """Return the exponent that one word in a thousand exceeds, or one in another number."""
    counts = np.bincount(exponents, weights=weights, minlength=256)[::-1]
    return 255 - int(np.searchsorted(np.cumsum(counts), counts.sum() / one_in))


def _tokens(folded: npt.NDArray[np.int64]) -> tuple[Places, Floats]:
    """Return the token of each value, and the raw bits after it."""
    octaves = np.frexp(np.maximum(folded, 1).astype(np.float64))[1] - 1
    quarters = (folded >> np.maximum(octaves - 2, 0)) & 3
    wide = folded >= _SINGLES
    first = int(_SINGLES).bit_length() - 1
    tokens = np.where(wide, _SINGLES + 4 * (octaves - first) + quarters, folded)
    return tokens, np.where(wide, octaves - 2.0, 0.0)


def _bits(cells: npt.NDArray[np.uint8], tokens: Places, weights: Floats) -> float:
    keys = cells.astype(np.intp) * _TOKENS + tokens
    counts = np.bincount(keys, weights=weights, minlength=CELLS * _TOKENS)
    return _entropy(counts.reshape(CELLS, _TOKENS))


def _entropy(counts: "npt.NDArray[np.float64] | npt.NDArray[np.intp]") -> float:
    """Return the bits of counts [contexts, tokens]: their entropy, and the tables."""
    totals = counts.sum(axis=1)
    tables = _TABLE_BITS * np.count_nonzero(totals) + _TOKEN_BITS * np.count_nonzero(counts)
    return _log_sum(totals) - _log_sum(counts) + float(tables)


def _log_sum(counts: "npt.NDArray[np.float64] | npt.NDArray[np.intp]") -> float:
    seen = counts[counts > 0].astype(np.float64)
    return float((seen * np.log2(seen)).sum())
