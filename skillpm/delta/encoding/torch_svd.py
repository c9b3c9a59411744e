"""Singular value decompositions by torch, on one thread.

One thread makes the factors independent of the number of cores. Only packing needs this module:
decoding never imports torch.
"""

import numpy as np
import torch

from skillpm.delta.codecs.svd import SingularFactors
from skillpm.delta.tensors.rounding import Floats


def decompose(delta: Floats) -> SingularFactors:
    """Return the thin SVD of a matrix [m, n], computed in float32. Costs O(m·n·min(m, n))."""
    torch.set_num_threads(1)
    matrix = torch.from_numpy(np.ascontiguousarray(delta, dtype=np.float32))
    left, sigma, right = torch.linalg.svd(matrix, full_matrices=False)
    return SingularFactors(
        left.numpy().astype(np.float64),
        sigma.numpy().astype(np.float64),
        right.numpy().astype(np.float64),
    )
