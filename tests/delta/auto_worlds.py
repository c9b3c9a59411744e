"""Deltas and metrics for the tests of the scheme `auto`."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import TensorSpec

SHAPE = (96, 160)
Delta = npt.NDArray[np.float64]


def decaying(seed: int = 0, power: float = 0.9) -> Delta:
    """Make a delta [96, 160] with singular values ~ i^-power."""
    draw = np.random.default_rng(seed)
    left = np.linalg.qr(draw.standard_normal((SHAPE[0], SHAPE[0])))[0]
    right = np.linalg.qr(draw.standard_normal((SHAPE[1], SHAPE[0])))[0]
    sigma = np.arange(1, SHAPE[0] + 1) ** -power
    return np.asarray((left * sigma) @ right.T)


def uneven(seed: int = 3, shape: tuple[int, int] = (1000, 24)) -> Delta:
    """Make a delta whose rows differ by orders of magnitude; every fourth row is zero."""
    draw = np.random.default_rng(seed)
    delta = draw.standard_normal(shape) * np.exp(draw.standard_normal((shape[0], 1)))
    delta[::4] = 0
    return delta


def correlated(size: int, seed: int) -> MetricFactor:
    """Make a metric in which few directions matter."""
    draw = np.random.default_rng(seed)
    roots = draw.standard_normal((size, size)) * np.arange(1, size + 1) ** -0.7
    return MetricFactor.of(torch.from_numpy(roots @ roots.T / size).float())


def flat(shape: tuple[int, int] = SHAPE) -> ErrorMetric:
    """Make a metric in which all entries have the same weight."""
    return ErrorMetric.flat(shape, 1.0)


def full() -> ErrorMetric:
    """Make a metric with full factors on both sides."""
    return ErrorMetric(correlated(SHAPE[0], 1), correlated(SHAPE[1], 2))


def pair_of(delta: Delta) -> Pair:
    """Return the pair of a float32 tensor that changes by a delta."""
    spec = TensorSpec("w", "F32", delta.shape)
    return Pair("w", spec, spec)


def rows_of_delta(delta: Delta, chunk: int = 1 << 20, dtype: str = "F32") -> TensorRows:
    """Return the rows of a tensor that changes by a delta, read in chunks of words."""
    after = np.asarray(delta, dtype="<f4").reshape(-1).view("<u4")
    before = np.zeros_like(after)
    if dtype == "BF16":
        base = 0.02 * np.random.default_rng(9).standard_normal(delta.size)
        before = from_float64(base, dtype)[0]
        after = from_float64(to_float64(before, dtype) + delta.reshape(-1), dtype)[0]

    def read() -> Iterator[Chunk]:
        for start in range(0, delta.size, chunk):
            yield before[start : start + chunk], after[start : start + chunk]

    return TensorRows(TensorSpec("w", dtype, delta.shape), read)
