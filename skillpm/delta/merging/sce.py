"""SCE: select by variance, calculate coefficients, erase minority signs.

Wan et al. 2024, FuseChat: Knowledge Fusion of Chat Models (arXiv 2408.07990), the merging stage,
also used by FuseChat-3.0. It selects the elements of a matrix that vary most between the models,
computes a coefficient for each model from the squares of its selected elements, and erases elements
whose sign is not the majority's. As in the authors' code, an element is divided by the sum of the
coefficients of the models that remain there.
"""

import math

import numpy as np

from skillpm.delta.merging.ties import same_sign
from skillpm.delta.merging.vectors import Mask, Vectors, exact_sum, largest, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:  # noqa: ARG001 - methods share a signature
    """Return λ · Σ ηᵢwᵢδᵢ / Σ ηᵢ over the vectors that have the majority's sign, [n].

    Zero where no vector has it. λ is `scale`. Select: of the elements at which the δᵢ differ, the
    share `density` with the largest variance; all elements if the δᵢ are equal. Calculate: ηᵢ = Σₚ
    δᵢₚ² / Σⱼ Σₚ δⱼₚ² over the selection. Erase: elements where the sign of wᵢδᵢ is not that of Σ
    wⱼδⱼ. Weights scale what is added and do not change the coefficients.
    """
    mask = _selected(vectors, merging.number("density"))
    coefficients = _coefficients(vectors, mask)
    votes = np.zeros_like(vectors[0].delta)
    for vector in vectors:
        votes += np.where(mask, vector.weighted, 0.0)
    total, divisor = np.zeros_like(votes), np.zeros_like(votes)
    for vector, coefficient in zip(vectors, coefficients, strict=True):
        weighted = np.where(mask, vector.weighted, 0.0)
        agree = same_sign(weighted, votes)
        total += np.where(agree, weighted * coefficient, 0.0)
        divisor += np.where(agree, coefficient, 0.0)
    return total / np.where(divisor > 0.0, divisor, 1.0) * merging.number("scale")


def _exponent(vectors: Vectors) -> int:
    """Return a power of two above all magnitudes; divided by it, no square overflows."""
    return math.frexp(max(float(np.abs(vector.delta).max(initial=0.0)) for vector in vectors))[1]


def _selected(vectors: Vectors, density: float) -> Mask:
    """Return the mask [n] of the selected elements."""
    exponent = _exponent(vectors)
    scaled = [np.ldexp(vector.delta, -exponent) for vector in vectors]
    mean = np.zeros_like(scaled[0])
    for vector in scaled:
        mean += vector
    mean /= len(vectors)
    spread = np.zeros_like(mean)  # N times the variance, which has the same order
    for vector in scaled:
        spread += (vector - mean) * (vector - mean)
    varying = int(np.count_nonzero(spread))
    return largest(spread, share(varying, density) if varying else spread.size)


def _coefficients(vectors: Vectors, mask: Mask) -> list[float]:
    """Return η of each vector."""
    exponent = _exponent(vectors)
    squares = []
    for vector in vectors:
        scaled = np.where(mask, np.ldexp(vector.delta, -exponent), 0.0)
        squares.append(exact_sum(scaled * scaled))
    total = math.fsum(squares)
    return [square / total if total else 1.0 / len(vectors) for square in squares]
