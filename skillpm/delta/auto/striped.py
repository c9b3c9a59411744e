"""Tensors too large to hold several times: surveyed on some of their rows, coded row by row.

The embedding of an 8B model has half a billion entries. It is not decomposed: a grid, whose scales
of rows and columns come from the metric, costs a token nothing but its own entries.
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
"""Entries from which on a tensor is not held whole."""
SAMPLE = 1 << 24
"""Entries that are surveyed in its place."""

Rows = tuple[int, Floats]
"""The first row, and some rows [k, n] of a delta."""


def is_large(spec: TensorSpec) -> bool:
    """Whether a tensor is surveyed on a sample; one that is all one row never is."""
    return spec.elements >= LARGE and rows_of(spec)[0] > 1


def every_for(spec: TensorSpec) -> int:
    """Which rows are surveyed: every so many."""
    return -(-spec.elements // SAMPLE) if is_large(spec) else 1


def delta_rows(spec: TensorSpec, chunks: Iterable[Chunk]) -> Iterator[Rows]:
    """float64(tuned) - float64(base), as whole rows, about a chunk at a time."""
    width, first = rows_of(spec)[1], 0
    left = np.zeros(0)
    for reference, tuned in chunks:
        with np.errstate(over="ignore", invalid="ignore"):  # callers refuse what is not finite
            part = to_float64(tuned, spec.dtype) - to_float64(reference, spec.dtype)
        flat = np.concatenate([left, part]) if left.size else part
        count = flat.size // width
        if count:
            yield first, flat[: count * width].reshape(count, width)
        first, left = first + count, flat[count * width :]


def delta_of(spec: TensorSpec, chunks: Iterable[Chunk]) -> Floats | None:
    """Every so many rows of a tensor's delta, as `every_for` says; None where it is not finite."""
    every, parts = every_for(spec), list[Floats]()
    for first, rows in delta_rows(spec, chunks):
        if not np.isfinite(rows).all():
            return None
        parts.append(rows[-first % every :: every])
    return np.concatenate(parts) if parts else None


def sampled(spec: TensorSpec, delta: Floats, metric: ErrorMetric) -> Candidates:
    """The candidates of a large tensor, from some of its rows [k, n]."""
    every = every_for(spec)
    weights = metric.rows.diagonal
    rows = weights if len(weights) == 1 else weights[::every]
    part = TensorSpec(spec.name, spec.dtype, (delta.shape[0], delta.shape[1]))
    return Candidates(part, delta, ErrorMetric(MetricFactor(rows), metric.columns), times=every)


def code_large(
    spec: TensorSpec, chunks: Iterable[Chunk], metric: ErrorMetric, choice: EncodingChoice
) -> CodedGrid | None:
    """A large tensor on a grid; None where nothing of it would be left. Holds its integers."""
    coder = GridCoder(
        rows_of(spec), ErrorMetric(MetricFactor(metric.rows.diagonal), metric.columns), choice.step
    )
    for first, rows in delta_rows(spec, chunks):
        coder.add(first, torch.from_numpy(rows).float())
    return coder.coded()
