"""About how many bits integers take under contexts: order-0 entropy and a guess at the tables.

A survey asks this a hundred times for every tensor that is encoded once, so it is one count of
tokens and no search for the best tables. Within some hundredths of the truth; files are measured.
"""

import numpy as np
import numpy.typing as npt

_TOKENS = 64
_TABLE_BITS = 4.0
_EACH_TOKEN_BITS = 5.0


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
    """n log n - Σ c log c of every row, and its table; a row of one token costs its table alone."""
    totals = counts.sum(axis=1)
    data = _log_sum(totals) - _log_sum(counts.reshape(-1))
    several = counts[(counts > 0).sum(axis=1) > 1]
    tables = _TABLE_BITS * np.count_nonzero(totals) + _EACH_TOKEN_BITS * np.count_nonzero(several)
    return data + float(tables)


def _log_sum(counts: npt.NDArray[np.intp]) -> float:
    seen = counts[counts > 0].astype(np.float64)
    return float((seen * np.log2(seen)).sum())
