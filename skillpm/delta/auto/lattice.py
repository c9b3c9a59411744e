"""Whether a delta is on the lattice of its storage dtype, where rounding feeds no errors back.

A light fine-tune in 16 bits moves by few units in the last place, and most words do not move. Error
feedback spreads an error over other entries as small fractions of such a unit. They take bytes, and
the rounding of a graft to the storage dtype removes them again (`docs/adr/0041`).
"""

import numpy as np
import torch

from skillpm.delta.tensors.rounding import FORMATS
from skillpm.delta.tensors.words import Bytes

_STILL = 0.3
"""A delta with a larger share of zeros in its rows is on the lattice."""


def on_lattice(delta: torch.Tensor) -> bool:
    """Return whether more than `_STILL` of the entries are zero, in the rows that have others."""
    counts = (delta != 0).sum(1)
    rows = int((counts > 0).sum())
    return int(counts.sum()) < (1 - _STILL) * rows * delta.shape[1]


def ulps_of(exponents: Bytes, dtype: str) -> torch.Tensor:
    """Return the unit in the last place [n] of words with these exponents [n]; zeros for F64."""
    form = FORMATS.get(dtype)
    if form is None:
        return torch.zeros(exponents.size)
    octaves = np.clip(np.arange(256), 1, 2 - 2 * form.least_exponent)  # narrow dtypes have fewer
    table = np.ldexp(1.0, octaves + form.least_exponent - form.precision)
    return torch.from_numpy(table.astype(np.float32)[exponents])
