"""Estimates of the bits of coded integers: order-0 entropy, and a guess at the tables.

A survey estimates a hundred candidates for each tensor that is encoded, so an estimate counts
tokens once and does not search for the best tables. It is within 3 % of the part's size for the
small integers of a survey; for integers in the hundreds it is up to a fifth too large. The sizes
that a scheme compares in the end are measured.
"""

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.classes import Codes, Contexts
from skillpm.delta.codecs.shared.scales import Logs

_TOKENS = 64
"""Larger folded integers share the last token, plus the bits of their octave."""
_CAP = 32
_TABLE_BITS = 4.0
"""The guessed bits of a table, and of each token in it."""
_TABLE_TOKEN_BITS = 5.0


def scale_bits(*several: Logs | None) -> float:
    """Estimate the bits of the scales of rows, columns or ranks, together; 0 for None."""
    return sum(steps_bits(logs) for logs in several if logs is not None)


def steps_bits(logs: Logs) -> float:
    """Estimate the bits of integers that are coded as differences of neighbours."""
    return flat_bits(np.diff(logs, prepend=np.int32(0)).astype(np.int32), None)


def matrix_bits(codes: Codes) -> float:
    """Estimate the bits of a non-empty matrix [rows, width] of small integers.

    The minimum of three models: one context; one context per octave of columns; per octave of
    columns and rows.
    """
    magnitudes = np.minimum(np.abs(codes), _CAP).astype(np.float32)
    overall = float(magnitudes.mean()) + 0.5 / codes.size
    by_column = np.rint(np.log2(magnitudes.mean(axis=0) + overall / _CAP)).astype(np.int32)
    by_row = np.rint(np.log2(magnitudes.mean(axis=1) / overall + 1.0 / _CAP)).astype(np.int32)
    by_column -= by_column.min()
    by_row -= by_row.min()
    flat = codes.reshape(-1).astype(np.int32)
    both = np.clip(by_row[:, None] + by_column, 0, _CAP).astype(np.uint8).reshape(-1)
    columns = np.broadcast_to(by_column.astype(np.uint8), codes.shape).reshape(-1)
    column_bits = steps_bits(by_column)
    return min(
        flat_bits(flat, None),
        flat_bits(flat, columns) + column_bits,
        flat_bits(flat, both) + column_bits + steps_bits(by_row),
    )


def flat_bits(values: Codes, contexts: Contexts | None) -> float:
    """Estimate the bits of flat integers [n] under their contexts [n], or under one for None."""
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
    """Return the bits of counts [contexts, tokens]: entropy and table of each row.

    A row with a single token costs its table alone.
    """
    totals = counts.sum(axis=1)
    data = _log_sum(totals) - _log_sum(counts.reshape(-1))
    shared = counts[(counts > 0).sum(axis=1) > 1]
    tables = _TABLE_BITS * np.count_nonzero(totals) + _TABLE_TOKEN_BITS * np.count_nonzero(shared)
    return data + float(tables)


def _log_sum(counts: npt.NDArray[np.intp]) -> float:
    seen = counts[counts > 0].astype(np.float64)
    return float((seen * np.log2(seen)).sum())
