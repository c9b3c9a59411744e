"""The bytes of exact encoding: measured for a small tensor, else estimated from sampled rows."""

from collections.abc import Iterable
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt

from skillpm.delta.auto.strata import Places, Strata
from skillpm.delta.codecs.lossless_contexts import WIDEST, exponents_of
from skillpm.delta.coding.integers import CONTEXTS
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.streams import Chunk
from skillpm.delta.tensors.words import Words, difference

SMALL = 1 << 14
"""Tensors with fewer entries are encoded to learn their bytes."""
_CLASSES = 8
_TOKENS, _SINGLES = 256, 64
_TABLE_BITS, _TOKEN_BITS = 16.0, 3.0
_UNCOMPRESSED = 0.9
"""The share of their bytes that words wider than `WIDEST` are guessed to take."""


def measured_bytes(pair: Pair, chunks: Iterable[Chunk]) -> int:
    """Return the bytes of the parts of exact encoding, by encoding the tensor."""
    with TemporaryFile() as spool:
        Lossless().encode(pair, chunks, PayloadWriter(spool))
        return spool.tell()


def estimated_bytes(
    reference: Words, tuned: Words, dtype: str, strata: Strata, sizes: Floats
) -> float:
    """Estimate the bytes of mode `r` from the sampled rows [k, n] of both tensors.

    `sizes` [m] are sums of the magnitudes of the rows. The contexts are those of
    `codecs.lossless_contexts`: the exponent of the reference, or with it the class of the row.
    """
    if reference.itemsize > WIDEST:
        return _UNCOMPRESSED * float(reference.itemsize * reference.shape[1] * sizes.size)
    folded = difference(reference.reshape(-1), tuned.reshape(-1), dtype)
    exponents = exponents_of(reference.reshape(-1), dtype)
    weights = np.repeat(strata.row_weights, reference.shape[1])
    anchor = _anchor(exponents, weights)
    below = anchor - np.minimum(exponents, anchor).astype(np.int64)
    tokens, raw = _tokens(folded.astype(np.int64))
    fixed = float(weights @ raw)
    plain = _bits(np.minimum(below, CONTEXTS - 1), tokens, weights)
    classes = _row_classes(sizes)
    if classes is None:
        return (fixed + plain) / 8
    within = np.minimum(below, CONTEXTS // _CLASSES - 1) * _CLASSES
    contexts = within + np.repeat(classes[strata.rows], reference.shape[1])
    by_row = _bits(contexts, tokens, weights) + _entropy(np.bincount(classes)[None])
    return (fixed + min(plain, by_row)) / 8


def _anchor(exponents: npt.NDArray[np.uint8], weights: Floats) -> int:
    """Return the exponent that one word in a thousand exceeds."""
    counts = np.bincount(exponents, weights=weights, minlength=256)[::-1]
    return 255 - int(np.searchsorted(np.cumsum(counts), counts.sum() / 1000))


def _tokens(folded: npt.NDArray[np.int64]) -> tuple[Places, Floats]:
    """Return the token of each value, and the raw bits after it."""
    octaves = np.frexp(np.maximum(folded, 1).astype(np.float64))[1] - 1
    quarters = (folded >> np.maximum(octaves - 2, 0)) & 3
    wide = folded >= _SINGLES
    first = int(_SINGLES).bit_length() - 1
    tokens = np.where(wide, _SINGLES + 4 * (octaves - first) + quarters, folded)
    return tokens, np.where(wide, octaves - 2.0, 0.0)


def _row_classes(sizes: Floats) -> Places | None:
    """Return the class of each row [m] by the octave of its size; None if all are alike."""
    still = sizes == 0
    if still.all():
        return None
    octaves = np.frexp(sizes)[1]
    ordered = np.sort(octaves[~still])
    margin = ordered.size // 50
    low, top = int(ordered[margin]), int(ordered[-1 - margin])
    if not still.any() and top - low < 2:  # noqa: PLR2004 - octaves
        return None
    return np.where(still, 0, 1 + np.clip(top - octaves, 0, _CLASSES - 2)).astype(np.intp)


def _bits(contexts: Places, tokens: Places, weights: Floats) -> float:
    keys = contexts * _TOKENS + tokens
    counts = np.bincount(keys, weights=weights, minlength=CONTEXTS * _TOKENS)
    return _entropy(counts.reshape(CONTEXTS, _TOKENS))


def _entropy(counts: "npt.NDArray[np.float64] | npt.NDArray[np.intp]") -> float:
    """Return the bits of counts [contexts, tokens]: their entropy, and the tables."""
    totals = counts.sum(axis=1)
    tables = _TABLE_BITS * np.count_nonzero(totals) + _TOKEN_BITS * np.count_nonzero(counts)
    return _log_sum(totals) - _log_sum(counts) + float(tables)


def _log_sum(counts: "npt.NDArray[np.float64] | npt.NDArray[np.intp]") -> float:
    seen = counts[counts > 0].astype(np.float64)
    return float((seen * np.log2(seen)).sum())
