"""PCB: balance the competition of parameters, drop those that lose, rescale those that stay.

Du et al. 2024, Parameter Competition Balancing for Model Merging (arXiv 2410.02396), section 3.2:
intra-balancing softmax(N·Norm(τᵢ ⊙ τᵢ)), inter-balancing Σⱼ softmax(Norm(τᵢ ⊙ τⱼ)), β their
product; drop all but a share of β; τ = Σ β̂ᵢ ⊙ λᵢτᵢ / Σ β̂ᵢ. Computed as the authors' code does it:
exp and tanh stand for the softmaxes (their divisors are constants that Norm takes out again), and
outliers of τ are clipped. There a task vector is that of the whole model; here of one tensor.
"""

import numpy as np

from skillpm.delta.merging.exponential import exp, tanh
from skillpm.delta.merging.vectors import Vectors, normalised, ranked, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging

_OUTLIERS = 1e-4
_LEAST = 1e-12
_PIECE = 1 << 15
"""Elements at a time, so that the series stay in a core's cache: it changes no bit."""


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:  # noqa: ARG001 - all alike
    """λ · Σ β̂ᵢ wᵢ clip(τᵢ) / Σ β̂ᵢ, [n]; zero where all are dropped. λ is `scale`.

    βᵢ = exp(N·Norm(|clip(τᵢ)|)²) · tanh(τᵢ Σⱼ τⱼ), all [n], with Norm from 0 to 1 over the tensor;
    β̂ᵢ = Norm(max(βᵢ, the largest βᵢ that is dropped)), where the share `density` is kept. Weights
    are the paper's λᵢ: they scale what is added, and change no balance.
    """
    kept = share(vectors[0].delta.size, merging.number("density"))
    together = np.zeros_like(vectors[0].delta)
    for each in vectors:
        together += each.delta
    total, divisor = np.zeros_like(together), np.zeros_like(together)
    for each in vectors:
        sizes = _clipped(np.abs(each.delta))
        balance = _balance(sizes, each.delta * together, len(vectors), kept)
        total += balance * (np.sign(each.delta) * sizes * each.weight)
        divisor += balance
    return total / np.maximum(divisor, _LEAST) * merging.number("scale")


def _clipped(sizes: Floats) -> Floats:
    """Magnitudes [n] without the ten-thousandth that is largest and that which is smallest."""
    outliers = int(sizes.size * _OUTLIERS)
    low, high = ranked(sizes, outliers), ranked(sizes, sizes.size - 1 - outliers)
    return np.clip(sizes, low, high)


def _balance(sizes: Floats, shared: Floats, vectors: int, kept: int) -> Floats:
    """β̂ of one vector [n], of its magnitudes and its products with the sum of all.

    exp is taken of N·(Norm² − 1): it cannot overflow, and the factor e⁻ᴺ is one more constant.
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
