"""DARE: drop at random, rescale what stays, and add up.

Yu et al. 2024, Language Models are Super Mario (arXiv 2311.03099), section 3.2: m ~ Bernoulli(p),
δ̃ = (1 − m) ⊙ δ, δ̂ = δ̃ / (1 − p); then task arithmetic. `density` is 1 − p, to the nearest 2⁻¹⁶.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from skillpm.delta.merging.vectors import Vectors
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.merging import Merging

_STEPS = 1 << 16
_DRAWS = 16
"""Numbers of 16 bits in a SHA-256."""


def merge(vectors: Vectors, merging: Merging, tensor: str) -> Floats:
    """λ · Σ wᵢδ̂ᵢ, [n], added in the order of skill names. λ is `scale`."""
    level = max(1, round(merging.number("density") * _STEPS))
    total = np.zeros_like(vectors[0].delta)
    for each in vectors:
        stays = draws(int(merging.number("seed")), each.skill, tensor, total.size) < level
        rescaled = each.weighted / (level / _STEPS)
        total += np.where(stays, rescaled, 0.0)
    return total * merging.number("scale")


def draws(seed: int, skill: str, tensor: str, size: int) -> npt.NDArray[np.uint16]:
    """So many numbers in 0..65535, of the seed and the names alone.

    SHA-256 in counter mode under a key: K = H(`skillpm.dare.v1` NUL seed NUL skill NUL tensor),
    block n = H(K, n as 8 bytes), each sixteen little-endian numbers.
    """
    key = hashlib.sha256(f"skillpm.dare.v1\0{seed}\0{skill}\0{tensor}".encode()).digest()
    found = np.empty(size, dtype=np.uint16)
    for start in range(0, size, CHUNK):
        piece = found[start : start + CHUNK]
        first = start // _DRAWS
        numbers = range(first, first - (-piece.size // _DRAWS))
        blocks = (hashlib.sha256(key + n.to_bytes(8, "little")).digest() for n in numbers)
        piece[:] = np.frombuffer(b"".join(blocks), dtype="<u2")[: piece.size]
    return found
