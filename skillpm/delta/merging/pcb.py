"""PCB: balance competing parameters, drop the low scores, and rescale the rest.

Du et al. 2024, Parameter Competition Balancing for Model Merging (arXiv 2410.02396), section 3.2:
intra-balancing softmax(N·Norm(τᵢ ⊙ τᵢ)), inter-balancing Σⱼ softmax(Norm(τᵢ ⊙ τⱼ)), β their
product; drop all but a share of β; τ = Σ β̂ᵢ ⊙ λᵢτᵢ / Σ β̂ᵢ. As in the authors' code, exp and tanh
replace the softmaxes, whose divisors are constants that Norm cancels, and outliers of τ are
clipped. In the paper a task vector spans the whole model; here it spans one tensor.
"""

import numpy as np

from skillpm.delta.merging.exponential import exp, tanh
from skillpm.delta.merging.vectors import Vectors, normalised, ranked, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging

_OUTLIERS = 1e-4
"""The share of elements that is clipped at each end."""
_LEAST = 1e-12
"""A lower bound of the divisor, against division by zero."""
_PIECE = 1 << 15
"""Elements processed at a time, so that the series stay in a core's cache. Changes no bit."""


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:  # noqa: ARG001 - methods share a signature
    """Return λ · Σ β̂ᵢ wᵢ clip(τᵢ) / Σ β̂ᵢ, [n]; zero where every vector is dropped. λ is `scale`.

    βᵢ = exp(N·Norm(|clip(τᵢ)|)²) · tanh(τᵢ Σⱼ τⱼ), all [n], with Norm from 0 to 1 over the tensor.
    β̂ᵢ = Norm(max(βᵢ, the largest βᵢ that is dropped)); the share `density` is kept. Weights are
    the paper's λᵢ: they scale what is added and do not change the balance.
    """
    kept = share(vectors[0].delta.size, merging.number("density"))
    together = np.zeros_like(vectors[0].delta)
    for vector in vectors:
        together += vector.delta
    total, divisor = np.zeros_like(together), np.zeros_like(together)
    for vector in vectors:
        sizes = _clipped(np.abs(vector.delta))
        balance = _balance(sizes, vector.delta * together, len(vectors), kept)
        total += balance * (np.sign(vector.delta) * sizes * vector.weight)
        divisor += balance
    return total / np.maximum(divisor, _LEAST) * merging.number("scale")


def _clipped(sizes: Floats) -> Floats:
    """Clip magnitudes [n] at the ten-thousandth from each end."""
    outliers = int(sizes.size * _OUTLIERS)
    lowest, highest = ranked(sizes, outliers), ranked(sizes, sizes.size - 1 - outliers)
    return np.clip(sizes, lowest, highest)


def _balance(sizes: Floats, shared: Floats, vectors: int, kept: int) -> Floats:
    """Return β̂ of one vector [n] from its magnitudes and its products with the sum of all vectors.

    Computes exp of N·(Norm² − 1), which cannot overflow: the factor e⁻ᴺ is a constant that Norm
    cancels.
    """
    own = normalised(sizes)
    balance = np.empty_like(own)
    for start in range(0, own.size, _PIECE):
        piece = slice(start, start + _PIECE)
        intra = exp((own[piece] * own[piece] - 1.0) * vectors)
        balance[piece] = intra * tanh(shared[piece])
    if kept < balance.size:
        balance = np.maximum(balance, ranked(balance, balance.size - kept - 1))
    return normalised(balance)
