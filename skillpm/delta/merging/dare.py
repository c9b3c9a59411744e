"""DARE: drop elements at random, rescale the rest, and add up.

Yu et al. 2024, Language Models are Super Mario (arXiv 2311.03099), section 3.2: m ~ Bernoulli(p),
δ̃ = (1 − m) ⊙ δ, δ̂ = δ̃ / (1 − p), followed by task arithmetic. `density` is 1 − p, rounded to a
multiple of 2⁻¹⁶.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from skillpm.delta.merging.vectors import Vectors, in_step
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging

_STEPS = 1 << 16
_DRAWS = 16
"""16-bit numbers in one SHA-256 digest."""


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Iterator[Floats]:
    """Yield λ · Σ wᵢδ̂ᵢ, in blocks [n], added in the order of skill names. λ is `scale`."""
    level = max(1, round(merging.number("density") * _STEPS))
    seed, start = int(merging.number("seed")), 0
    for blocks in in_step(vectors):
        total = np.zeros_like(blocks[0])
        for vector, block in zip(vectors, blocks, strict=True):
            kept = draws(seed, vector.skill, tensor, total.size, start=start) < level
            rescaled = vector.weighted(block) / (level / _STEPS)
            total += np.where(kept, rescaled, 0.0)
        start += total.size
        yield total * merging.number("scale")


def draws(
    seed: int, skill: str, tensor: str, size: int, *, start: int = 0
) -> npt.NDArray[np.uint16]:
    """Return `size` numbers in 0..65535 that depend on the seed and the names alone.

    `start` is the position of the first in the tensor, a multiple of 16. SHA-256 in counter mode
    under a key: K = H(`skillpm.dare.v1` NUL seed NUL skill NUL tensor), block n = H(K, n as 8
    bytes). A block is sixteen little-endian numbers.
    """
    key = hashlib.sha256(f"skillpm.dare.v1\0{seed}\0{skill}\0{tensor}".encode()).digest()
    numbers = np.empty(size, dtype=np.uint16)
    for offset in range(0, size, CHUNK):
        piece = numbers[offset : offset + CHUNK]
        first = (start + offset) // _DRAWS
        counters = range(first, first - (-piece.size // _DRAWS))
        blocks = (hashlib.sha256(key + n.to_bytes(8, "little")).digest() for n in counters)
        piece[:] = np.frombuffer(b"".join(blocks), dtype="<u2")[: piece.size]
    return numbers
