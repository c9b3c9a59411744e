"""Measures how much one tensor differs between two models."""

from dataclasses import dataclass

import numpy as np

from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.words import words_of
from skillpm.spec.dtypes import TensorSpec, is_float


@dataclass(frozen=True, slots=True)
class Difference:
    """One tensor that differs. Counts and norms are set if shape and dtype agree.

    `elements` is the number of elements whose bits differ. `relative` is the norm of the difference
    divided by the norm of the tensor before, for floating point dtypes.
    """

    tensor: str
    change: str
    before: TensorSpec | None
    after: TensorSpec | None
    elements: int | None = None
    relative: float | None = None


def measure_difference(name: str, *, before: Source, after: Source) -> Difference:
    """Compare one tensor, chunk by chunk. Costs one read of both tensors."""
    old, new = before.specs.get(name), after.specs.get(name)
    if old is None or new is None:
        return Difference(name, "added" if old is None else "removed", old, new)
    if old.dtype != new.dtype or old.shape != new.shape:
        change = "resized" if old.dtype == new.dtype else "cast"
        return Difference(name, change, old, new)
    elements, error, norm = 0, 0.0, 0.0
    for was, now in zip(before.chunks(name), after.chunks(name), strict=True):
        a, b = words_of(was, old), words_of(now, new)
        elements += int(np.count_nonzero(a != b))
        if is_float(old.dtype):
            with np.errstate(all="ignore"):
                x, y = to_float64(a, old.dtype), to_float64(b, new.dtype)
                error += float(np.nansum((y - x) ** 2))
                norm += float(np.nansum(x**2))
    relative = float(np.sqrt(error / norm)) if norm and is_float(old.dtype) else None
    return Difference(name, "changed", old, new, elements, relative)
