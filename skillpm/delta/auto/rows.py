"""The rows of a tensor of both models: read whole, or block by block if the tensor is large.

A tensor is large if it has many entries, or if it has many times more rows than columns, as an
embedding does. A large tensor is not decomposed and not held whole. It is coded on a grid, with
scales of rows and columns from the metric: a token that did not change then costs almost nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from skillpm.delta.auto.strata import Places
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.encoding.torch_device import CPU, ComputeDevice
from skillpm.delta.tensors.streams import Chunk
from skillpm.delta.tensors.words import Bytes, Words
from skillpm.spec.dtypes import TensorSpec

LARGE = 1 << 27
"""A tensor with at least this many entries is large."""
LARGE_TALL, TALL = 1 << 22, 16
"""A tensor with at least `TALL` rows for each column is large from `LARGE_TALL` entries on."""


@dataclass(frozen=True)
class RowBlock:
    """Whole rows [k, n] of the reference and of the tuned tensor, from row `first` on."""

    first: int
    reference: Words
    tuned: Words

    def exponents(self, dtype: str) -> Bytes:
        """Return the exponents of the reference [k · n]."""
        return exponents_of(self.reference.reshape(-1), dtype)

    def delta(self, dtype: str, device: ComputeDevice = CPU) -> torch.Tensor:
        """Return tuned - reference [k, n], float32; NaN and Inf if a value is not finite."""
        return device.difference(self.reference, self.tuned, dtype)


def is_large(spec: TensorSpec) -> bool:
    """Whether a tensor is read in blocks of rows. A tensor of a single row never is."""
    rows, columns = rows_of(spec)
    tall = rows >= TALL * columns
    return rows > 1 and spec.elements >= (LARGE_TALL if tall else LARGE)


def row_blocks(spec: TensorSpec, chunks: Iterable[Chunk]) -> Iterator[RowBlock]:
    """Yield whole rows, about a chunk at a time."""
    width, first = rows_of(spec)[1], 0
    left: Chunk | None = None
    for chunk in chunks:
        both = chunk
        if left is not None:
            both = (np.concatenate([left[0], chunk[0]]), np.concatenate([left[1], chunk[1]]))
        count = both[0].size // width
        end = count * width
        if count:
            reference, tuned = (side[:end].reshape(count, width) for side in both)
            yield RowBlock(first, reference, tuned)
        first, left = first + count, (both[0][end:], both[1][end:])


@dataclass(frozen=True)
class TensorRows:
    """A tensor of both models that can be read several times. Deltas are placed on `device`."""

    spec: TensorSpec
    read: Callable[[], Iterable[Chunk]]
    device: ComputeDevice = CPU

    def delta(self, block: RowBlock) -> torch.Tensor:
        """Return the delta [k, n] of a block, float32."""
        return block.delta(self.spec.dtype, self.device)

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the rows: all at once, or some at a time if the tensor is large."""
        blocks = row_blocks(self.spec, self.read())
        if is_large(self.spec):
            yield from blocks
            return
        held = list(blocks)
        reference = np.concatenate([block.reference for block in held])
        yield RowBlock(0, reference, np.concatenate([block.tuned for block in held]))

    def whole(self) -> torch.Tensor:
        """Return the whole delta [m, n], float32, of a tensor that is not large."""
        (block,) = self.blocks()
        return self.delta(block)

    def sampled(self, rows: Places) -> RowBlock:
        """Return some rows, given in ascending order. Reads the whole tensor."""
        parts: list[tuple[Words, Words]] = []
        for block in self.blocks():
            low, high = np.searchsorted(rows, (block.first, block.first + len(block.tuned)))
            taken = rows[low:high] - block.first
            parts.append((block.reference[taken], block.tuned[taken]))
        return RowBlock(0, *(np.concatenate(side) for side in zip(*parts, strict=True)))
