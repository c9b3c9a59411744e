"""TIES: trim, elect a sign, and average the values that agree with it.

Yadav et al. 2023, TIES-Merging: Resolving Interference When Merging Models (arXiv 2306.01708),
section 4.1, algorithm 1. In the paper a task vector spans the whole model; here it spans one
tensor, so every tensor keeps the same share. A weight scales its vector before the election.
"""

from collections.abc import Iterator

import numpy as np

from skillpm.delta.merging.selection import Largest, edges
from skillpm.delta.merging.vectors import Blocks, Mask, Vectors, in_step, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Iterator[Floats]:  # noqa: ARG001 - methods share a signature
    """Yield λ · the mean of the trimmed wᵢτᵢ that have the elected sign, in blocks [n].

    Zero where no vector has it. λ is `scale`. Trim: keep the share `density` of largest magnitude
    of each τᵢ, set the rest to zero. Elect: γ = sgn Σ wᵢτ̂ᵢ. Merge: the mean over Aₚ = {i : sgn
    wᵢτ̂ᵢₚ = γₚ}.
    """
    size = vectors[0].size
    kept = share(size, merging.number("density"))

    def sizes() -> Iterator[Blocks]:
        return (list(map(np.abs, blocks)) for blocks in in_step(vectors))

    trims = [Largest(kept, edge) for edge in edges(sizes, size, [kept] * len(vectors))]
    for blocks in in_step(vectors):
        trimmed = [
            np.where(trim.mask(np.abs(block)), vector.weighted(block), 0.0)
            for vector, trim, block in zip(vectors, trims, blocks, strict=True)
        ]
        yield _elected_mean(trimmed) * merging.number("scale")


def _elected_mean(trimmed: Blocks) -> Floats:
    """Return the mean of the values that have the sign of their sum [n]."""
    votes = np.zeros_like(trimmed[0])
    for values in trimmed:
        votes += values
    total, count = np.zeros_like(votes), np.zeros_like(votes)
    for values in trimmed:
        agree = same_sign(values, votes)
        total += np.where(agree, values, 0.0)
        count += agree
    return total / np.maximum(count, 1.0)


def same_sign(values: Floats, others: Floats) -> Mask:
    """Return where both values are positive or both negative, as a mask [n]."""
    return ((values > 0.0) & (others > 0.0)) | ((values < 0.0) & (others < 0.0))
