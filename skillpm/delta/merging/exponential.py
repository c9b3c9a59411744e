"""exp and tanh of +, −, ×, ÷ and powers of two alone: no library's own, which all differ (law 3b).

Both are right to within 2⁻⁵⁰ of their value, where that is no subnormal number.
"""

import math

import numpy as np

from skillpm.delta.tensors.rounding import Floats

_LN2 = (float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33"))
"""ln 2 in two parts, the first with 21 zero bits at its end: k times it is exact."""
_INVERSE = float.fromhex("0x1.71547652b82fep+0")
_TERMS = [1.0 / math.factorial(n) for n in range(20)]
_DEGREE = 14
_RANGE = (-746.0, 709.0)
"""Below, eˣ is 0 in float64; above, it is taken to be e⁷⁰⁹."""
_SMALL = 0.25
_FLAT = 22.0
"""From here on tanh is 1 in float64."""


def exp(values: Floats) -> Floats:
    """eˣ [n]: x = k·ln 2 + r with |r| <= ln 2 / 2, eʳ by its series, times 2ᵏ."""
    x = np.clip(values, *_RANGE)
    k = np.rint(x * _INVERSE)
    r = (x - k * _LN2[0]) - k * _LN2[1]
    return np.ldexp(_series(r, _TERMS[: _DEGREE + 1]), k.astype(np.int32))


def tanh(values: Floats) -> Floats:
    """The hyperbolic tangent [n]: (e²ˣ − 1) / (e²ˣ + 1), near zero with the series of e²ˣ − 1."""
    size = np.minimum(np.abs(values), _FLAT)
    near = np.minimum(size, _SMALL) * 2.0
    less = near * _series(near, _TERMS[1:])
    far = 1.0 - 2.0 / (exp(size * 2.0) + 1.0)
    return np.copysign(np.where(size < _SMALL, less / (less + 2.0), far), values)


def _series(x: Floats, terms: list[float]) -> Floats:
    """Σ tₙxⁿ by Horner's rule, each product and each sum rounded once."""
    total = np.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total *= x
        total += term
    return total
