"""Singular value decompositions by torch, on one thread or on an accelerator.

One thread makes the factors independent of the number of cores. Only packing needs this module:
decoding never imports torch.
"""

import numpy as np
import torch

from skillpm.delta.codecs.svd import SingularFactors
from skillpm.delta.encoding.torch_device import CPU, ComputeDevice, torch_threads
from skillpm.delta.tensors.rounding import Floats


def decompose(delta: Floats, device: ComputeDevice = CPU) -> SingularFactors:
    """Return the thin SVD of a matrix [m, n], computed in float32. Costs O(m·n·min(m, n)).

    Raises `GraftError` if the memory of the device is too small.
    """
    with torch_threads(1), device.memory_errors():
        matrix = device.place(torch.from_numpy(np.ascontiguousarray(delta, dtype=np.float32)))
        factors = torch.linalg.svd(matrix, full_matrices=False)
    return SingularFactors(*(part.cpu().numpy().astype(np.float64) for part in factors))
