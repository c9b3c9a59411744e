"""SCE: select by variance, calculate coefficients, erase minority signs.

Wan et al. 2024, FuseChat: Knowledge Fusion of Chat Models (arXiv 2408.07990), the merging stage,
also used by FuseChat-3.0. It selects the elements of a matrix that vary most between the models,
computes a coefficient for each model from the squares of its selected elements, and erases elements
whose sign is not the majority's. As in the authors' code, an element is divided by the sum of the
coefficients of the models that remain there.
"""

import math
from collections.abc import Iterator

import numpy as np

from skillpm.delta.merging.selection import Largest, Ranked, edges
from skillpm.delta.merging.ties import same_sign
from skillpm.delta.merging.vectors import Blocks, ExactSum, Vectors, in_step, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Iterator[Floats]:  # noqa: ARG001 - methods share a signature
    """Yield λ · Σ ηᵢwᵢδᵢ / Σ ηᵢ over the vectors that have the majority's sign, in blocks [n].

    Zero where no vector has it. λ is `scale`. Select: of the elements at which the δᵢ differ, the
    share `density` with the largest variance; all elements if the δᵢ are equal. Calculate: ηᵢ = Σₚ
    δᵢₚ² / Σⱼ Σₚ δⱼₚ² over the selection. Erase: elements where the sign of wᵢδᵢ is not that of Σ
    wⱼδⱼ. Weights scale what is added and do not change the coefficients.
    """
    selected = _Selected(vectors, merging.number("density"))
    coefficients = _coefficients(selected)
    for blocks in selected.blocks():
        weighted = [vector.weighted(block) for vector, block in zip(vectors, blocks, strict=True)]
        yield _agreeing_mean(weighted, coefficients) * merging.number("scale")


def _agreeing_mean(weighted: Blocks, coefficients: list[float]) -> Floats:
    """Return the mean, by coefficients, of the values that have the sign of their sum [n]."""
    votes = np.zeros_like(weighted[0])
    for values in weighted:
        votes += values
    total, divisor = np.zeros_like(votes), np.zeros_like(votes)
    for values, coefficient in zip(weighted, coefficients, strict=True):
        agree = same_sign(values, votes)
        total += np.where(agree, values * coefficient, 0.0)
        divisor += np.where(agree, coefficient, 0.0)
    return total / np.where(divisor > 0.0, divisor, 1.0)


class _Selected:
    """The task vectors, zero outside of the selected elements.

    `exponent` is a power of two above all magnitudes; divided by it, no square overflows.
    """

    def __init__(self, vectors: Vectors, density: float) -> None:
        self._vectors, self.size = vectors, vectors[0].size
        top = max(float(np.abs(block).max()) for blocks in in_step(vectors) for block in blocks)
        self.exponent = math.frexp(top)[1]
        varying = sum(int(np.count_nonzero(spread)) for (spread,) in self._spreads())
        self._count = share(varying, density) if varying else self.size
        self._edge: Ranked | None = edges(self._spreads, self.size, [self._count])[0]

    def _spreads(self) -> Iterator[Blocks]:
        return ([self._spread(blocks)] for blocks in in_step(self._vectors))

    def _spread(self, blocks: Blocks) -> Floats:
        """Return N times the variance of the scaled elements [n], which has the same order."""
        scaled = [np.ldexp(block, -self.exponent) for block in blocks]
        mean = np.zeros_like(scaled[0])
        for values in scaled:
            mean += values
        mean /= len(scaled)
        spread = np.zeros_like(mean)
        for values in scaled:
            spread += (values - mean) * (values - mean)
        return spread

    def blocks(self) -> Iterator[Blocks]:
        """Read all vectors in step."""
        largest = Largest(self._count, self._edge)
        for blocks in in_step(self._vectors):
            mask = largest.mask(self._spread(blocks))
            yield [np.where(mask, block, 0.0) for block in blocks]

    def squares(self) -> Iterator[Blocks]:
        """Read the squares of all scaled vectors in step."""
        for blocks in self.blocks():
            scaled = [np.ldexp(block, -self.exponent) for block in blocks]
            yield [values * values for values in scaled]


def _coefficients(selected: _Selected) -> list[float]:
    """Return η of each vector."""
    tops = [[float(values.max()) for values in squares] for squares in selected.squares()]
    sums = [ExactSum(max(stream), selected.size) for stream in zip(*tops, strict=True)]
    for squares in selected.squares():
        for exact, values in zip(sums, squares, strict=True):
            exact.add(values)
    totals = [exact.total for exact in sums]
    total = math.fsum(totals)
    return [square / total if total else 1.0 / len(totals) for square in totals]
