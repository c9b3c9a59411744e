"""Tensors too large to hold several times: surveyed on a sample of rows, and coded in stripes.

The embedding of an 8B model has half a billion entries. A large tensor is not decomposed. It is
coded on a grid, with scales of rows and columns from the metric: a token that did not change then
costs almost nothing.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from skillpm.delta.auto.candidates import Candidates, EncodingChoice
from skillpm.delta.auto.dense import GridCoder
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs.grid import CodedGrid, rows_of
from skillpm.delta.tensors.rounding import Floats, to_float64
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import TensorSpec

LARGE = 1 << 27
"""A tensor with at least this many entries is not held whole."""
SAMPLE = 1 << 24
"""Entries in the sample of a large tensor."""

Rows = tuple[int, Floats]
"""The index of the first row, and rows [k, n] of a delta."""


def is_large(spec: TensorSpec) -> bool:
    """Whether a tensor is surveyed on a sample. A tensor of a single row never is."""
    return spec.elements >= LARGE and rows_of(spec)[0] > 1


def row_stride(spec: TensorSpec) -> int:
    """Return the stride of the rows that are surveyed; 1 for a tensor that is held whole."""
    return -(-spec.elements // SAMPLE) if is_large(spec) else 1


def delta_rows(spec: TensorSpec, chunks: Iterable[Chunk]) -> Iterator[Rows]:
    """Yield float64(tuned) - float64(base) as whole rows, about a chunk at a time."""
    width, first = rows_of(spec)[1], 0
    remainder = np.zeros(0)
    for reference, tuned in chunks:
        with np.errstate(over="ignore", invalid="ignore"):  # callers check for Inf and NaN
            part = to_float64(tuned, spec.dtype) - to_float64(reference, spec.dtype)
        flat = np.concatenate([remainder, part]) if remainder.size else part
        count = flat.size // width
        if count:
            yield first, flat[: count * width].reshape(count, width)
        first, remainder = first + count, flat[count * width :]


def delta_of(spec: TensorSpec, chunks: Iterable[Chunk]) -> Floats | None:
    """Return every `row_stride`-th row of a tensor's delta, [k, n]; None if it is not finite."""
    stride, parts = row_stride(spec), list[Floats]()
    for first, rows in delta_rows(spec, chunks):
        if not np.isfinite(rows).all():
            return None
        parts.append(rows[-first % stride :: stride])
    return np.concatenate(parts) if parts else None


def sampled(spec: TensorSpec, delta: Floats, metric: ErrorMetric) -> Candidates:
    """Return the candidates of a large tensor from a sample of its rows [k, n]."""
    stride = row_stride(spec)
    weights = metric.rows.diagonal
    rows = weights if len(weights) == 1 else weights[::stride]
    part = TensorSpec(spec.name, spec.dtype, (delta.shape[0], delta.shape[1]))
    return Candidates(part, delta, ErrorMetric(MetricFactor(rows), metric.columns), times=stride)


def code_large(
    spec: TensorSpec, chunks: Iterable[Chunk], metric: ErrorMetric, choice: EncodingChoice
) -> CodedGrid | None:
    """Code a large tensor on a grid; None if all of it rounds to zero.

    Holds its integers in memory.
    """
    coder = GridCoder(
        rows_of(spec), ErrorMetric(MetricFactor(metric.rows.diagonal), metric.columns), choice.step
    )
    for first, rows in delta_rows(spec, chunks):
        coder.add(first, torch.from_numpy(rows).float())
    return coder.coded()
