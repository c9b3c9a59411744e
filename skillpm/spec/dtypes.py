"""The dtypes of safetensors, under their safetensors names."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""Bits of an element."""
RANK_LIMIT = 32
"""The largest number of dimensions, as in numpy 1. Products over untrusted shapes stay cheap."""
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""Floating-point dtypes that the codecs decode to float64."""


def is_float(dtype: str) -> bool:
    """Whether deltas of this dtype can be summed: a floating-point dtype of `FLOATS`."""
    return dtype in FLOATS


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The name, safetensors dtype and shape of a tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of elements (1 for a scalar)."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of the data in bytes, as safetensors stores it."""
        return dense_bytes(self.dtype, self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element; 1 for sub-byte dtypes, which are read as plain bytes."""
        return max(BITS[self.dtype] // 8, 1)


def dense_bytes(dtype: str, shape: Sequence[int]) -> int:
    """The size of a dense tensor in bytes."""
    return (prod(shape) * BITS[dtype] + 7) // 8
