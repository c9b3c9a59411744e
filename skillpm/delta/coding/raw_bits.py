"""Raw bits of varying widths.

For each width there are byte planes, then the remaining bits in groups of eight values.
"""

import numpy as np
import numpy.typing as npt

from skillpm.errors import IntegrityError

Bytes = npt.NDArray[np.uint8]
Folded = npt.NDArray[np.uint32]


def pack_raw(values: Folded, widths: Bytes) -> bytes:
    """Pack values [n], each in its width [n] in bits (0 to 29), grouped by width.

    Values of one width keep their order.
    """
    parts = []
    sorted_values = values[np.argsort(widths, kind="stable")]
    start = 0
    for width, count in enumerate(np.bincount(widths, minlength=1).tolist()):
        group = sorted_values[start : start + count]
        start += count
        bytes_of = group.astype("<u4").view(np.uint8).reshape(-1, 4)
        parts += [bytes_of[:, byte].tobytes() for byte in range(width // 8)]
        if width % 8 and count:
            parts.append(_pack_rests(group >> np.uint32(width // 8 * 8), width % 8))
    return b"".join(parts)


def unpack_raw(data: bytes, widths: Bytes) -> Folded:
    """Unpack what `pack_raw` wrote: one value per width [n].

    Raises `IntegrityError` unless `data` has exactly the size needed.
    """
    counts = np.bincount(widths, minlength=1)
    expected = raw_bytes(counts, np.arange(counts.size))
    if len(data) != expected:
        message = (
            f"the raw bits of an entropy-coded stream are {len(data)} bytes, expected {expected}"
        )
        raise IntegrityError(message)
    flat = np.frombuffer(data, dtype=np.uint8)
    sorted_values = np.zeros(widths.size, dtype=np.uint32)
    start = position = 0
    for width, count in enumerate(counts.tolist()):
        group = sorted_values[position : position + count]
        position += count
        for byte in range(width // 8):
            group |= flat[start : start + count].astype(np.uint32) << np.uint32(8 * byte)
            start += count
        if width % 8 and count:
            size = (count * (width % 8) + 7) // 8
            rests = _unpack_rests(flat[start : start + size], width % 8, count)
            group |= rests << np.uint32(width // 8 * 8)
            start += size
    values = np.empty_like(sorted_values)
    values[np.argsort(widths, kind="stable")] = sorted_values
    return values


def raw_bytes(counts: npt.NDArray[np.int64], widths: npt.NDArray[np.integer]) -> int:
    """Return the bytes that `counts[i]` values of `widths[i]` bits take together."""
    by_width = np.bincount(widths, weights=counts).astype(np.int64)
    width = np.arange(by_width.size)
    return int(np.sum(by_width * (width // 8) + (by_width * (width % 8) + 7) // 8))


def _pack_rests(values: Folded, width: int) -> bytes:
    """Pack values of `width` bits (below 8): eight values fill `width` bytes."""
    eights = np.zeros((-(-values.size // 8), 8), dtype="<u8")
    eights.reshape(-1)[: values.size] = values
    joined = np.zeros(len(eights), dtype="<u8")
    for place in range(8):
        joined |= eights[:, place] << np.uint64(width * place)
    kept = joined.view(np.uint8).reshape(-1, 8)[:, :width]
    return kept.tobytes()[: (values.size * width + 7) // 8]


def _unpack_rests(data: Bytes, width: int, count: int) -> Folded:
    rows = -(-count // 8)
    padded = np.zeros(rows * width, dtype=np.uint8)
    padded[: data.size] = data
    wide = np.zeros((rows, 8), dtype=np.uint8)
    wide[:, :width] = padded.reshape(rows, width)
    joined = wide.view("<u8").reshape(-1)
    values = np.empty((rows, 8), dtype=np.uint32)
    for place in range(8):
        values[:, place] = (joined >> np.uint64(width * place)) & np.uint64((1 << width) - 1)
    return values.reshape(-1)[:count]
