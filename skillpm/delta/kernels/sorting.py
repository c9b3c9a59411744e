"""Kernels of the modes `x` and `y` of `skillpm.delta.codecs.lossless`: a counting sort."""

import numpy as np

from skillpm.delta.kernels.kernel import U16, OutI64, kernel


@kernel
def stable_order(keys: U16, order: OutI64) -> None:
    """Write the places of keys [n], below 2048, in ascending order; equal keys keep their order."""
    starts = np.zeros(2049, dtype=np.int64)
    for number in range(keys.size):
        starts[min(int(keys[number]), 2047) + 1] += 1
    for key in range(2048):
        starts[key + 1] += starts[key]
    for number in range(keys.size):
        key = min(int(keys[number]), 2047)
        order[starts[key]] = number
        starts[key] += 1
