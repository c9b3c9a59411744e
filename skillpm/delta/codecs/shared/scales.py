"""Positive scales as small integers: value = 2^(n / 2^fine), the same on every machine.

Scales of rows, columns and ranks span many octaves and need little precision, so they are stored as
logarithms. Powers are computed by square roots and products alone, each rounded once as in IEEE
754, because `exp` differs between machines (law 3b).
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.rounding import Floats

Logs = npt.NDArray[np.int32]
FINE_LIMIT = 12
"""The largest `fine` that a record may have."""


@cache
def _powers(fine: int) -> Floats:
    """Return 2^(j / 2^fine) for j in 0 .. 2^fine - 1."""
    table = np.ones(1)
    root = np.float64(2.0)
    for _ in range(fine):
        root = np.sqrt(root)
        table = np.stack([table, table * root], axis=1).reshape(-1)
    table.flags.writeable = False  # all callers share it
    return table


def from_logs(logs: Logs, fine: int) -> Floats:
    """Return the scales [n], float64, of integer logarithms [n] with 2^fine steps per octave."""
    scales: Floats = np.ldexp(_powers(fine)[logs & ((1 << fine) - 1)], logs >> fine)
    return scales


def to_logs(scales: Floats, fine: int) -> Logs:
    """Return the nearest logarithms of positive scales.

    The error is at most a factor of 2^(2^-fine / 2).
    """
    logs: Logs = np.rint(np.log2(scales) * (1 << fine)).astype(np.int32)
    return logs
