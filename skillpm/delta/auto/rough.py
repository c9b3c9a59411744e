"""About how many bits integers take under contexts: order-0 entropy and a guess at the tables.

A survey asks this a hundred times for every tensor that is encoded once, so it is one count of
tokens and no search for the best tables. Within some hundredths of the truth; files are measured.
"""

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.factors import CodedFactors
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.hybrid import CodedHybrid
from skillpm.delta.codecs.sign import CodedSigns

_TOKENS = 64
_CAP = 32
_TABLE_BITS = 4.0
_EACH_TOKEN_BITS = 5.0


def rough_size(coded: CodedFactors | CodedGrid | CodedHybrid | CodedSigns) -> float:
    """About the bytes of a coded tensor, without its record."""
    if isinstance(coded, CodedHybrid):
        return rough_size(coded.low) + rough_size(coded.rest)
    scales = [coded.rows, coded.columns]
    if isinstance(coded, CodedSigns):
        bits = float(coded.negative.size)
    elif isinstance(coded, CodedGrid):
        bits = _matrix_bits(coded.codes)
    else:
        bits = _matrix_bits(coded.left) + _matrix_bits(coded.right)
        scales.append(coded.ranks)
    return (bits + sum(_steps_bits(logs) for logs in scales if logs is not None)) / 8


def _steps_bits(logs: npt.NDArray[np.int32]) -> float:
    return rough_bits(np.diff(logs, prepend=np.int32(0)).astype(np.int32), None)


def _matrix_bits(codes: npt.NDArray[np.int32]) -> float:
    """The least of: one context; one for each octave of columns; of columns and rows."""
    magnitudes = np.minimum(np.abs(codes), _CAP).astype(np.float32)
    overall = float(magnitudes.mean()) + 0.5 / codes.size
    by_column = np.rint(np.log2(magnitudes.mean(axis=0) + overall / _CAP)).astype(np.int32)
    by_row = np.rint(np.log2(magnitudes.mean(axis=1) / overall + 1.0 / _CAP)).astype(np.int32)
    by_column -= by_column.min()
    by_row -= by_row.min()
    flat = codes.reshape(-1).astype(np.int32)
    both = np.clip(by_row[:, None] + by_column, 0, _CAP).astype(np.uint8).reshape(-1)
    columns = np.broadcast_to(by_column.astype(np.uint8), codes.shape).reshape(-1)
    side = _steps_bits(by_column)
    return min(
        rough_bits(flat, None),
        rough_bits(flat, columns) + side,
        rough_bits(flat, both) + side + _steps_bits(by_row),
    )


def rough_bits(values: npt.NDArray[np.int32], contexts: npt.NDArray[np.uint8] | None) -> float:
    """The bits of flat integers; all under one context where none are given."""
    if not values.size:
        return 0.0
    folded = np.abs(values)
    folded *= 2
    folded -= values > 0
    wide = folded >= _TOKENS
    escaped = 2 * np.log2(folded[wide] - (_TOKENS - 2.0)).sum() + 2 * wide.sum()
    np.minimum(folded, _TOKENS - 1, out=folded)
    if contexts is not None:
        folded += contexts.astype(np.int32) * _TOKENS
    counts = np.bincount(folded, minlength=_TOKENS)
    counts = np.pad(counts, (0, -counts.size % _TOKENS)).reshape(-1, _TOKENS)
    return float(escaped) + _entropy(counts)


def _entropy(counts: npt.NDArray[np.intp]) -> float:
    """The entropy of every row, and its table; a row of one token costs its table alone."""
    totals = counts.sum(axis=1)
    data = _log_sum(totals) - _log_sum(counts.reshape(-1))
    several = counts[(counts > 0).sum(axis=1) > 1]
    tables = _TABLE_BITS * np.count_nonzero(totals) + _EACH_TOKEN_BITS * np.count_nonzero(several)
    return data + float(tables)


def _log_sum(counts: npt.NDArray[np.intp]) -> float:
    seen = counts[counts > 0].astype(np.float64)
    return float((seen * np.log2(seen)).sum())
