"""TIES: trim, elect a sign, and average the values that agree with it.

Yadav et al. 2023, TIES-Merging: Resolving Interference When Merging Models (arXiv 2306.01708),
section 4.1, algorithm 1. In the paper a task vector spans the whole model; here it spans one
tensor, so every tensor keeps the same share. A weight scales its vector before the election.
"""

import numpy as np

from skillpm.delta.merging.vectors import Mask, Vector, Vectors, largest, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:  # noqa: ARG001 - methods share a signature
    """Return λ · the mean of the trimmed wᵢτᵢ that have the elected sign, [n].

    Zero where no vector has it. λ is `scale`. Trim: keep the share `density` of largest magnitude
    of each τᵢ, set the rest to zero. Elect: γ = sgn Σ wᵢτ̂ᵢ. Merge: the mean over Aₚ = {i : sgn
    wᵢτ̂ᵢₚ = γₚ}.
    """
    kept = share(vectors[0].delta.size, merging.number("density"))
    masks = [largest(np.abs(vector.delta), kept) for vector in vectors]
    votes = np.zeros_like(vectors[0].delta)
    for vector, mask in zip(vectors, masks, strict=True):
        votes += _trimmed(vector, mask)
    total, count = np.zeros_like(votes), np.zeros_like(votes)
    for vector, mask in zip(vectors, masks, strict=True):
        trimmed = _trimmed(vector, mask)
        agree = same_sign(trimmed, votes)
        total += np.where(agree, trimmed, 0.0)
        count += agree
    return total / np.maximum(count, 1.0) * merging.number("scale")


def _trimmed(vector: Vector, mask: Mask) -> Floats:
    return np.where(mask, vector.weighted, 0.0)


def same_sign(values: Floats, others: Floats) -> Mask:
    """Return where both values are positive or both negative, as a mask [n]."""
    return ((values > 0.0) & (others > 0.0)) | ((values < 0.0) & (others < 0.0))
