"""TIES: trim, elect a sign, merge what agrees with it.

Yadav et al. 2023, TIES-Merging: Resolving Interference When Merging Models (arXiv 2306.01708),
section 4.1, algorithm 1. There a task vector is that of the whole model; here of one tensor, so
that each tensor keeps its share. A weight scales its vector before the election.
"""

import numpy as np

from skillpm.delta.merging.vectors import Mask, Vector, Vectors, largest, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:  # noqa: ARG001 - all alike
    """λ · mean of the trimmed wᵢτᵢ whose sign is the elected one, [n]; zero where there is none.

    Trim: of each τᵢ the share `density` that is largest in size, the rest zero. Elect:
    γ = sgn Σ wᵢτ̂ᵢ. Merge: the mean over Aₚ = {i : sgn wᵢτ̂ᵢₚ = γₚ}. λ is `scale`.
    """
    kept = share(vectors[0].delta.size, merging.number("density"))
    masks = [largest(np.abs(each.delta), kept) for each in vectors]
    votes = np.zeros_like(vectors[0].delta)
    for each, mask in zip(vectors, masks, strict=True):
        votes += _trimmed(each, mask)
    total, count = np.zeros_like(votes), np.zeros_like(votes)
    for each, mask in zip(vectors, masks, strict=True):
        trimmed = _trimmed(each, mask)
        agree = same_sign(trimmed, votes)
        total += np.where(agree, trimmed, 0.0)
        count += agree
    return total / np.maximum(count, 1.0) * merging.number("scale")


def _trimmed(each: Vector, mask: Mask) -> Floats:
    return np.where(mask, each.weighted, 0.0)


def same_sign(values: Floats, others: Floats) -> Mask:
    """Where both are above zero, or both below, [n]."""
    return ((values > 0.0) & (others > 0.0)) | ((values < 0.0) & (others < 0.0))
