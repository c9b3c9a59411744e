"""Forms in which a delta can run beside a weight, as plain arrays: no torch here.

The set is closed: `skillpm.live` turns each form into modules, and a new codec picks one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.tensors.rounding import Floats


@dataclass(frozen=True)
class NoChange:
    """Δ̂ = 0."""


@dataclass(frozen=True)
class AdapterFactors:
    """Δ̂ = scale · b·a, with a [r, in] and b [out, r] as an adapter stores them; or its transpose.

    Δ̂ is [out, in], and [in, out] where `transposed`.
    """

    a: Factor
    b: Factor
    scale: float
    transposed: bool

    @property
    def sides(self) -> tuple[Factor, Factor]:
        """Left [m, r] and right [r, n] for Δ̂ [m, n] = scale · left · right; nothing is copied."""
        return (self.a.flipped, self.b.flipped) if self.transposed else (self.b, self.a)


@dataclass(frozen=True)
class FloatFactors:
    """Δ̂ = left [m, r] · right [r, n] · 2^exponent."""

    left: Floats
    right: Floats
    exponent: int


@dataclass(frozen=True)
class IntegerFactors:
    """Δ̂ᵢⱼ = rowᵢ · columnⱼ · Σₖ rankₖ · leftᵢₖ · rightⱼₖ, with left [m, r] and right [n, r].

    Both are integers. Scales are None where all of them are 1.
    """

    left: npt.NDArray[np.signedinteger]
    right: npt.NDArray[np.signedinteger]
    ranks: Floats | None
    rows: Floats | None
    columns: Floats | None


@dataclass(frozen=True)
class SparseEntries:
    """Δ̂ is zero but for a few entries.

    `read` decodes them: ascending positions [k] in the flat tensor, and values [k], none zero.
    Raises `IntegrityError` where a part is damaged.
    """

    read: Callable[[], tuple[npt.NDArray[np.int64], Floats]]


LiveForm = NoChange | AdapterFactors | FloatFactors | IntegerFactors | SparseEntries
