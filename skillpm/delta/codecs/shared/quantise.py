"""Group-wise asymmetric min-max quantisation, with packed bits.

A block is [columns, length]. Each column is split into groups of `group` values along its length.
Each group has a float16 scale and an integer zero point: value = (q - zero) · scale.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.rounding import Floats

Codes = npt.NDArray[np.uint8]
BATCH = 64
"""Columns that are computed at a time, to bound memory."""


@dataclass(frozen=True)
class Quantised:
    """Codes [columns, length], scales and zero points [columns, groups]."""

    codes: Codes
    scales: npt.NDArray[np.float16]
    zeros: Codes

    def columns(self, span: slice) -> "Quantised":
        """Return some of the columns."""
        return Quantised(self.codes[span], self.scales[span], self.zeros[span])


def group_count(length: int, group: int) -> int:
    """Return the number of groups in a column."""
    return -(-length // group)


def _grouped(block: npt.NDArray[np.floating], group: int) -> Floats:
    columns, length = block.shape
    group = min(group, length)
    groups = group_count(length, group)
    padded = np.zeros((columns, groups * group))
    padded[:, :length] = block
    return padded.reshape(columns, groups, group)


def quantise(block: npt.NDArray[np.floating], bits: int, group: int) -> Quantised:
    """Round to nearest; the grid of a group spans its min and max, and always includes zero.

    Computes in float64, a few columns at a time.
    """
    starts = range(0, block.shape[0], BATCH)
    parts = [_quantise(block[start : start + BATCH], bits, group) for start in starts]
    return Quantised(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate([part.zeros for part in parts]),
    )


def _quantise(block: npt.NDArray[np.floating], bits: int, group: int) -> Quantised:
    top = (1 << bits) - 1
    groups = _grouped(block, group)
    low = np.minimum(groups.min(axis=2), 0.0)
    high = np.maximum(groups.max(axis=2), 0.0)
    scales = ((high - low) / top).astype(np.float16)
    scales[scales <= 0] = np.float16(1.0)
    wide = scales.astype(np.float64)
    zeros = np.clip(np.rint(-low / wide), 0, top)
    codes = np.clip(np.rint(groups / wide[:, :, None]) + zeros[:, :, None], 0, top)
    flat = codes.reshape(block.shape[0], -1)[:, : block.shape[1]]
    return Quantised(flat.astype(np.uint8), scales, zeros.astype(np.uint8))


def dequantise(quantised: Quantised, group: int) -> Floats:
    """Return the values, exact in float64: a difference of small integers times a float16."""
    length = quantised.codes.shape[1]
    span = min(group, length)
    scales = np.repeat(quantised.scales.astype(np.float64), span, axis=1)[:, :length]
    zeros = np.repeat(quantised.zeros.astype(np.float64), span, axis=1)[:, :length]
    with np.errstate(invalid="ignore"):  # the decoder raises for a scale that is NaN or Inf
        return (quantised.codes.astype(np.float64) - zeros) * scales


def packed_bytes(codes: int, bits: int) -> int:
    """Return the bytes of `codes` packed codes."""
    return bits * ((codes + 7) // 8)


def pack_bits(codes: Codes, bits: int) -> bytes:
    """Pack codes as `bits` bit planes, least significant first."""
    flat = codes.reshape(-1)
    planes = (np.packbits((flat >> np.uint8(bit)) & np.uint8(1)) for bit in range(bits))
    return b"".join(plane.tobytes() for plane in planes)


def unpack_bits(data: bytes, count: int, bits: int) -> Codes:
    """The inverse of `pack_bits`."""
    planes = np.frombuffer(data, dtype=np.uint8).reshape(bits, -1)
    codes = np.zeros(count, dtype=np.uint8)
    for bit in range(bits):
        codes |= np.unpackbits(planes[bit], count=count) << np.uint8(bit)
    return codes
