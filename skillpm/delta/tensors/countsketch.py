"""A CountSketch of a delta in 256 buckets, from which cosines of deltas are estimated quickly.

Charikar, Chen & Farach-Colton 2002. The map is linear: inner products of sketches estimate inner
products of deltas. Signs come from SHA-256 of the tensor's name in counter mode (law 3b). Every
block of 65,536 elements uses the same table of signs, times one sign of the block.

Every sum is a fixed sequence of elementwise float64 additions, so a sketch has the same bits on
every machine and `verify` compares it exactly (ADR 25).
"""

import base64
import hashlib
from collections.abc import Mapping

import numpy as np

from skillpm.delta.kernels import floats as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.rounding import CHEAP, Floats
from skillpm.spec.overlap import BUCKETS

BLOCK = 1 << 16
_TAG = b"skillpm.sketch.v1\0"
_COUNTERS = [number.to_bytes(8, "little") for number in range(BLOCK // 256)]


def _bits(seed: bytes, count: int) -> Floats:
    """Return `count` signs, +1 or -1: the bits of SHA-256(seed, counter)."""
    counters = _COUNTERS[: -(-count // 256)]
    data = b"".join([hashlib.sha256(seed + counter).digest() for counter in counters])
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count)
    return 1.0 - 2.0 * bits.astype(np.float64)


class Sketcher:
    """Sketches the delta of one tensor, chunk by chunk in order.

    Every chunk but the last is a whole number of blocks. The table of signs has only the rows that
    were needed so far: most tensors of a mixture of experts are smaller than a block.
    """

    def __init__(self, tensor: str) -> None:
        self._seed = _TAG + tensor.encode() + b"\0"
        self._signs: Floats = np.zeros((0, BUCKETS))
        self._rows: Floats = np.zeros((0, BUCKETS))
        self._blocks = 0
        self.buckets: Floats = np.zeros(BUCKETS)

    def add(self, delta: Floats, *, finite: bool = False) -> None:
        """Add the next elements [n]. A value that is not finite counts as zero.

        `finite`: the caller knows that all values are finite, which saves a pass.
        """
        for start in range(0, delta.size, BLOCK):
            sign = _bits(self._seed + self._blocks.to_bytes(8, "little"), 1)
            block = self._block_sum(delta[start : start + BLOCK], finite=finite)
            self.buckets += sign * block
            self._blocks += 1

    def _block_sum(self, delta: Floats, *, finite: bool) -> Floats:
        """Return the sums over the rows of delta * signs, at most `BLOCK` elements of delta.

        Rows of zeros are left out: they only add zeros to the tree of additions.
        """
        levels = (-(-delta.size // BUCKETS) - 1).bit_length()
        signs = self._table(1 << levels)
        if compiled(delta.size >> CHEAP):
            rows = np.empty((levels + 2) * BUCKETS)
            kernels.sketch_block(delta, signs.reshape(-1), rows, BUCKETS)
            return rows[-BUCKETS:]
        if self._rows.size < signs.size:
            self._rows = np.empty(signs.shape)
        rows = self._rows[: signs.shape[0]]
        flat, flat_signs = rows.reshape(-1), signs.reshape(-1)
        values = delta if finite else np.where(np.isfinite(delta), delta, 0.0)
        np.multiply(values, flat_signs[: delta.size], out=flat[: delta.size])
        np.multiply(0.0, flat_signs[delta.size :], out=flat[delta.size :])
        return _row_sum(rows)

    def _table(self, rows: int) -> Floats:
        """Return the first rows [rows, 256] of the table of signs."""
        if self._signs.shape[0] < rows:
            signs = _bits(self._seed + b"signs", rows * BUCKETS)
            self._signs = signs.reshape(-1, BUCKETS)
        return self._signs[:rows]


def _row_sum(rows: Floats) -> Floats:
    """Sum 2^n rows [2^n, buckets] by a tree of elementwise additions, in place.

    The order of additions in numpy's own reduction may differ between machines (law 3b).
    """
    while rows.shape[0] > 1:
        half = rows.shape[0] // 2
        rows = np.add(rows[:half], rows[half:], out=rows[:half])
    total: Floats = rows[0]
    return total


def encode_sketch(buckets: Floats) -> str:
    """Encode a sketch [256] for a manifest: float32 in base64, clipped to the range of float32."""
    largest = float(np.finfo(np.float32).max)
    kept = np.clip(buckets, -largest, largest)
    return base64.b64encode(kept.astype("<f4").tobytes()).decode()


def sum_sketches(sketches: Mapping[str, Floats]) -> Floats:
    """Add the sketches of all tensors, in the order of their names."""
    total: Floats = np.zeros(BUCKETS)
    for _, sketch in sorted(sketches.items()):
        total = total + sketch
    return total
