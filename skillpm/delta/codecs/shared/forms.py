"""Forms in which a delta can run beside a weight, as plain arrays, without torch.

The set is closed: `skillpm.live` turns each form into modules, and a new codec uses one of them.
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
    """Δ̂ = scale · b·a, with a [r, in] and b [out, r] as an adapter stores them, or its transpose.

    Δ̂ is [out, in]; [in, out] if `transposed`.
    """

    a: Factor
    b: Factor
    scale: float
    transposed: bool

    @property
    def sides(self) -> tuple[Factor, Factor]:
        """Left [m, r] and right [r, n] with Δ̂ [m, n] = scale · left · right, without a copy."""
        return (self.a.flipped, self.b.flipped) if self.transposed else (self.b, self.a)


@dataclass(frozen=True)
class FloatFactors:
    """Δ̂ = left [m, r] · right [r, n] · 2^exponent."""

    left: Floats
    right: Floats
    exponent: int


@dataclass(frozen=True)
class IntegerFactors:
    """Δ̂ᵢⱼ = rowᵢ · columnⱼ · Σₖ rankₖ · leftᵢₖ · rightⱼₖ, with integers left [m, r], right [n, r].

    Scales are None if all of them are 1.
    """

    left: npt.NDArray[np.signedinteger]
    right: npt.NDArray[np.signedinteger]
    ranks: Floats | None
    rows: Floats | None
    columns: Floats | None


@dataclass(frozen=True)
class SparseEntries:
    """Δ̂ is zero except for a few entries.

    `read` decodes them: ascending positions [k] in the flat tensor, and values [k], none zero. It
    raises `IntegrityError` if a part is damaged.
    """

    read: Callable[[], tuple[npt.NDArray[np.int64], Floats]]


LiveForm = NoChange | AdapterFactors | FloatFactors | IntegerFactors | SparseEntries
