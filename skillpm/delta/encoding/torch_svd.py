"""Singular value decompositions by torch, on one thread or on an accelerator.

One thread makes the factors independent of the number of cores. Only packing needs this module:
decoding never imports torch.
"""

import numpy as np
import torch

from skillpm.delta.codecs.svd import SingularFactors
from skillpm.delta.encoding.schemes import Matrix
from skillpm.delta.encoding.torch_device import CPU, ComputeDevice, torch_threads

DIRECT = 1 << 25
"""The most entries of a matrix whose thin SVD is computed even if only a part of it is needed."""
_BLOCK = 1 << 24
"""Entries that are widened to float64 at a time: 128 MB."""
_LEAST = 1e-8
"""The share of the largest singular value below which a Gram matrix in float64 determines none."""


def decompose(
    delta: Matrix, device: ComputeDevice = CPU, *, rank: int | None = None
) -> SingularFactors:
    """Return the thin SVD of a matrix [m, n], computed in float32. Costs O(m·n·min(m, n)).

    With `rank`, a matrix of more than `DIRECT` entries is decomposed by its Gram matrix, and only
    the first `rank` vectors are returned, with all singular values. Raises `GraftError` if the
    memory of the device is too small.
    """
    with torch_threads(1), device.memory_errors():
        matrix = device.place(torch.from_numpy(np.ascontiguousarray(delta, dtype=np.float32)))
        if rank is None or matrix.numel() <= DIRECT:
            factors = torch.linalg.svd(matrix, full_matrices=False)
        elif matrix.shape[0] <= matrix.shape[1]:
            factors = by_gram_matrix(matrix, rank)
        else:
            right, sigma, left = by_gram_matrix(matrix.T, rank)
            factors = left.T, sigma, right.T
    return SingularFactors(*(part.cpu().numpy().astype(np.float64) for part in factors))


def by_gram_matrix(
    wide: torch.Tensor, rank: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return U [m, rank], all σ [m] and Vᵀ [rank, n] of a matrix with m <= n.

    W = U Σ Vᵀ gives W Wᵀ = U Σ² Uᵀ, and Vᵀ = Σ⁻¹ Uᵀ W. In float64 an error of 2⁻⁵³ σ₁² in σ² is
    one of 2⁻²⁷ σ₁ in the least σ, which is less than that of an SVD in float32 (2⁻²⁴ σ₁). Holds
    four matrices [m, m] in float64 beside W, a quarter of the memory of the thin SVD.
    """
    height, width = wide.shape
    step = max(1, _BLOCK // height)
    spans = [slice(start, start + step) for start in range(0, width, step)]
    gram = torch.zeros((height, height), dtype=torch.float64, device=wide.device)
    for span in spans:
        block = wide[:, span].double()
        gram.addmm_(block, block.T)
    squares, vectors = torch.linalg.eigh(gram)
    del gram
    sigma = squares.flip(0).clamp(min=0.0).sqrt()
    left = vectors.flip(1)[:, :rank].clone()
    del vectors
    inverse = torch.where(sigma > _LEAST * sigma[0], 1.0 / sigma, 0.0)[:rank, None]
    right = torch.empty((left.shape[1], width), dtype=torch.float32, device=wide.device)
    for span in spans:
        right[:, span] = (left.T @ wide[:, span].double() * inverse).float()
    return left, sigma, right
