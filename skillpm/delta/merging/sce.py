"""SCE: select by variance, calculate coefficients, erase minority signs.

Wan et al. 2024, FuseChat: Knowledge Fusion of Chat Models (arXiv 2408.07990), the merging stage,
which FuseChat-3.0 uses too: of each matrix the elements that vary most over the models; a
coefficient for each model of the squares of what is selected; elements against the majority's
sign erased. As the authors' code does it, what survives at an element is divided by the sum of its
coefficients.
"""

import math

import numpy as np

from skillpm.delta.merging.ties import same_sign
from skillpm.delta.merging.vectors import Mask, Vectors, exact_sum, largest, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:  # noqa: ARG001 - all alike
    """λ · Σ ηᵢwᵢδᵢ / Σ ηᵢ over the vectors of the majority's sign, [n]; zero where there is none.

    Select: of the elements at which the δᵢ differ, the share `density` of largest variance; all,
    where none differ. Calculate: ηᵢ = Σₚ δᵢₚ² / Σⱼ Σₚ δⱼₚ² over the selected. Erase: where the sign
    of wᵢδᵢ is not that of Σ wⱼδⱼ. Weights scale what is added, and change no coefficient.
    """
    mask = _selected(vectors, merging.number("density"))
    coefficients = _coefficients(vectors, mask)
    votes = np.zeros_like(vectors[0].delta)
    for each in vectors:
        votes += np.where(mask, each.weighted, 0.0)
    total, divisor = np.zeros_like(votes), np.zeros_like(votes)
    for each, coefficient in zip(vectors, coefficients, strict=True):
        weighted = np.where(mask, each.weighted, 0.0)
        agree = same_sign(weighted, votes)
        total += np.where(agree, weighted * coefficient, 0.0)
        divisor += np.where(agree, coefficient, 0.0)
    return total / np.where(divisor > 0.0, divisor, 1.0) * merging.number("scale")


def _exponent(vectors: Vectors) -> int:
    """The power of two above all magnitudes: divided by it, no square overflows."""
    return math.frexp(max(float(np.abs(each.delta).max(initial=0.0)) for each in vectors))[1]


def _selected(vectors: Vectors, density: float) -> Mask:
    exponent = _exponent(vectors)
    scaled = [np.ldexp(each.delta, -exponent) for each in vectors]
    mean = np.zeros_like(scaled[0])
    for each in scaled:
        mean += each
    mean /= len(vectors)
    spread = np.zeros_like(mean)  # N times the variance, which stands in the same order
    for each in scaled:
        spread += (each - mean) * (each - mean)
    varying = int(np.count_nonzero(spread))
    return largest(spread, share(varying, density) if varying else spread.size)


def _coefficients(vectors: Vectors, mask: Mask) -> list[float]:
    exponent = _exponent(vectors)
    squares = []
    for each in vectors:
        scaled = np.where(mask, np.ldexp(each.delta, -exponent), 0.0)
        squares.append(exact_sum(scaled * scaled))
    total = math.fsum(squares)
    return [one / total if total else 1.0 / len(vectors) for one in squares]
