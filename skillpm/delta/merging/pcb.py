"""PCB: balance competing parameters, drop the low scores, and rescale the rest.

Du et al. 2024, Parameter Competition Balancing for Model Merging (arXiv 2410.02396), section 3.2:
intra-balancing softmax(N·Norm(τᵢ ⊙ τᵢ)), inter-balancing Σⱼ softmax(Norm(τᵢ ⊙ τⱼ)), β their
product; drop all but a share of β; τ = Σ β̂ᵢ ⊙ λᵢτᵢ / Σ β̂ᵢ. As in the authors' code, exp and tanh
replace the softmaxes, whose divisors are constants that Norm cancels, and outliers of τ are
clipped. In the paper a task vector spans the whole model; here it spans one tensor.
"""

from collections.abc import Iterator

import numpy as np

from skillpm.delta.merging.exponential import exp, tanh
from skillpm.delta.merging.selection import ranked
from skillpm.delta.merging.vectors import Blocks, Vectors, in_step, share
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging

_OUTLIERS = 1e-4
"""The share of elements that is clipped at each end."""
_LEAST = 1e-12
"""A lower bound of the divisor, against division by zero."""
_PIECE = 1 << 15
"""Elements processed at a time, so that the series stay in a core's cache. Changes no bit."""

_Range = tuple[float, float]
"""The lowest and the highest value that remain when others are clipped."""


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Iterator[Floats]:  # noqa: ARG001 - methods share a signature
    """Yield λ · Σ β̂ᵢ wᵢ clip(τᵢ) / Σ β̂ᵢ, in blocks [n]; zero where every vector is dropped.

    λ is `scale`. βᵢ = exp(N·Norm(|clip(τᵢ)|)²) · tanh(τᵢ Σⱼ τⱼ), all [n], with Norm from 0 to 1
    over the tensor. β̂ᵢ = Norm(max(βᵢ, the largest βᵢ that is dropped)); the share `density` is
    kept. Weights are the paper's λᵢ: they scale what is added and do not change the balance.
    """
    kept = share(vectors[0].size, merging.number("density"))
    clips = _clips(vectors)
    ends = _ends(vectors, clips, kept)
    for blocks in in_step(vectors):
        total, divisor = np.zeros_like(blocks[0]), np.zeros_like(blocks[0])
        balances = _balances(blocks, clips)
        for vector, block, clip, balance, end in zip(
            vectors, blocks, clips, balances, ends, strict=True
        ):
            share_of_it = _normalised(np.maximum(balance, end[0]), end)
            sizes = np.clip(np.abs(block), *clip)
            total += share_of_it * (np.sign(block) * sizes * vector.weight)
            divisor += share_of_it
        yield total / np.maximum(divisor, _LEAST) * merging.number("scale")


def _clips(vectors: Vectors) -> list[_Range]:
    """The magnitudes of each vector at the ten-thousandth from each end."""
    size = vectors[0].size
    outliers = int(size * _OUTLIERS)

    def sizes() -> Iterator[Blocks]:
        return (list(map(np.abs, blocks)) for blocks in in_step(vectors))

    found = ranked(sizes, size, [[outliers, size - 1 - outliers] for _ in vectors])
    return [(lowest.value, highest.value) for lowest, highest in found]


def _ends(vectors: Vectors, clips: list[_Range], kept: int) -> list[_Range]:
    """The largest β that is dropped of each vector, or the least one of all, and the largest."""
    size = vectors[0].size

    def balances() -> Iterator[Blocks]:
        return (_balances(blocks, clips) for blocks in in_step(vectors))

    found = ranked(balances, size, [[max(0, size - kept - 1), size - 1] for _ in vectors])
    return [(dropped.value, highest.value) for dropped, highest in found]


def _balances(blocks: Blocks, clips: list[_Range]) -> Blocks:
    """Return β of each vector [n], except for a factor that Norm cancels.

    Computes exp of N·(Norm² − 1), which cannot overflow: the factor is eᴺ.
    """
    together = np.zeros_like(blocks[0])
    for block in blocks:
        together += block
    return [
        _balance(np.clip(np.abs(block), *clip), clip, block * together, len(blocks))
        for block, clip in zip(blocks, clips, strict=True)
    ]


def _balance(sizes: Floats, clip: _Range, shared: Floats, vectors: int) -> Floats:
    """Return β of one vector [n] from its magnitudes and its products with the sum of all."""
    own = _normalised(sizes, clip)
    balance = np.empty_like(own)
    for start in range(0, own.size, _PIECE):
        piece = slice(start, start + _PIECE)
        intra = exp((own[piece] * own[piece] - 1.0) * vectors)
        balance[piece] = intra * tanh(shared[piece])
    return balance


def _normalised(values: Floats, ends: _Range) -> Floats:
    """Return (x − low) / (high − low) [n], in [0, 1]; all ones if both ends are equal."""
    low, high = ends
    return np.ones_like(values) if low == high else (values - low) / (high - low)
