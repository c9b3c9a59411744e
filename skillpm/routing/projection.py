"""A fixed random projection: the same matrix on every machine, from SHA-256 in counter mode."""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

_SEED = b"skillpm.router.v1"
_BITS = 8


@cache
def signs(width: int, kept: int) -> NDArray[np.float64]:
    """Return random signs / √kept, [width, kept].

    The projection preserves distances on average (Achlioptas 2003).
    """
    needed = -(-width * kept // _BITS)
    blocks = -(-needed // hashlib.sha256().digest_size)
    stream = b"".join(_block(width, kept, number) for number in range(blocks))
    bits = np.unpackbits(np.frombuffer(stream[:needed], dtype=np.uint8))[: width * kept]
    matrix = np.where(bits.reshape(width, kept) == 1, 1.0, -1.0)
    return np.asarray(matrix / np.sqrt(kept), dtype=np.float64)


def _block(width: int, kept: int, number: int) -> bytes:
    head = b"\0".join((_SEED, str(width).encode(), str(kept).encode()))
    return hashlib.sha256(head + number.to_bytes(8, "little")).digest()
