"""Singular value decompositions, by torch on one thread.

So the factors are the same whatever the machine's number of cores. Only packing needs them:
decoding never imports torch.
"""

import numpy as np
import torch

from skillpm.delta.codecs.svd import SingularFactors
from skillpm.delta.tensors.rounding import Floats


def decompose(delta: Floats) -> SingularFactors:
    """The thin SVD of a matrix [m, n], in float32 where it converges. Costs O(m·n·min(m, n))."""
    torch.set_num_threads(1)
    matrix = torch.from_numpy(np.ascontiguousarray(delta, dtype=np.float32))
    left, sigma, right = torch.linalg.svd(matrix, full_matrices=False)
    return SingularFactors(
        left.numpy().astype(np.float64),
        sigma.numpy().astype(np.float64),
        right.numpy().astype(np.float64),
    )
