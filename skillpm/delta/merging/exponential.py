"""exp and tanh from +, −, ×, ÷ and powers of two alone (law 3b); libraries' results differ.

The relative error of both is at most 2⁻⁵⁰, except where the result is subnormal.
"""

import math

import numpy as np

from skillpm.delta.tensors.rounding import Floats

_LN2 = (float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33"))
"""ln 2 in two parts. The first ends in 21 zero bits, so k times it is exact."""
_INVERSE = float.fromhex("0x1.71547652b82fep+0")
_TERMS = [1.0 / math.factorial(n) for n in range(20)]
_DEGREE = 14
_RANGE = (-746.0, 709.0)
"""Below, eˣ is 0 in float64; larger arguments are clipped to 709."""
_SMALL = 0.25
_FLAT = 22.0
"""From this argument on, tanh is 1 in float64."""


def exp(values: Floats) -> Floats:
    """Return eˣ [n].

    x = k·ln 2 + r with |r| <= ln 2 / 2, and eˣ is 2ᵏ times the Taylor series of eʳ.
    """
    x = np.clip(values, *_RANGE)
    k = np.rint(x * _INVERSE)
    r = (x - k * _LN2[0]) - k * _LN2[1]
    return np.ldexp(_series(r, _TERMS[: _DEGREE + 1]), k.astype(np.int32))


def tanh(values: Floats) -> Floats:
    """Return the hyperbolic tangent [n].

    (e²ˣ − 1) / (e²ˣ + 1); near zero, e²ˣ − 1 is computed by its series.
    """
    size = np.minimum(np.abs(values), _FLAT)
    near = np.minimum(size, _SMALL) * 2.0
    minus_one = near * _series(near, _TERMS[1:])
    far = 1.0 - 2.0 / (exp(size * 2.0) + 1.0)
    return np.copysign(np.where(size < _SMALL, minus_one / (minus_one + 2.0), far), values)


def _series(x: Floats, terms: list[float]) -> Floats:
    """Evaluate Σ tₙxⁿ by Horner's rule, with one rounding for each product and each sum."""
    total = np.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total *= x
        total += term
    return total
