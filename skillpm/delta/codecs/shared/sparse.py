"""Strictly increasing positions within a chunk, as byte planes of the gaps between them."""

import numpy as np
import numpy.typing as npt

from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.words import Bytes, from_planes, planes_of
from skillpm.errors import IntegrityError

GAP_BYTES = 3
"""A gap is below the size of a chunk, 2^20, so it takes three bytes."""

if CHUNK > 1 << (8 * GAP_BYTES):  # pragma: no cover - checks two constants
    raise AssertionError


def gap_planes(positions: npt.NDArray[np.intp]) -> list[Bytes]:
    """Return three byte planes of the gaps; the first gap counts from the start of the chunk."""
    gaps = np.diff(positions, prepend=-1) - 1
    return planes_of(gaps.astype("<u4"))[:GAP_BYTES]


def positions_from(planes: list[Bytes], size: int, tensor: str) -> npt.NDArray[np.int64]:
    """Return the positions of gap planes. Raises `IntegrityError` if one is not below `size`."""
    padded = [*planes, np.zeros(planes[0].size, dtype=np.uint8)]
    positions = np.cumsum(from_planes(padded).astype(np.int64) + 1) - 1
    if positions.size and positions[-1] >= size:
        raise IntegrityError(f"`{tensor}`: a position is outside the tensor")
    return positions
