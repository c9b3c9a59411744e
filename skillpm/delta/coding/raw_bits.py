"""Raw bits of varying widths.

For each width there are byte planes, then the remaining bits in groups of eight values. Values of
one width keep their order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skillpm.delta.kernels import integers as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.errors import IntegrityError

Bytes = npt.NDArray[np.uint8]
Folded = npt.NDArray[np.uint32]
_MOST_BITS = 29
_WIDTHS = 33
_BLOCK = 1 << 17


@dataclass(frozen=True, slots=True)
class RawLayout:
    """For each token [256] the number of raw bits after it, 0 to 29, and its smallest value."""

    widths: Bytes
    lows: Folded


BY_WIDTH = RawLayout(
    np.minimum(np.arange(256), _MOST_BITS).astype(np.uint8), np.zeros(256, dtype=np.uint32)
)
"""The layout of values whose tokens are their widths."""


def pack_raw(folded: Folded, tokens: Bytes, layout: RawLayout) -> bytes:
    """Pack the raw bits of folded values [n], whose tokens [n] are given, grouped by width."""
    if compiled(folded.size):
        return _pack_compiled(folded, tokens, layout)
    values, widths = folded - layout.lows.take(tokens), layout.widths.take(tokens)
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


def _pack_compiled(folded: Folded, tokens: Bytes, layout: RawLayout) -> bytes:
    counts = _width_counts(tokens, layout)
    starts = _starts(counts)
    out = np.zeros(starts[-1], dtype=np.uint8)
    status = kernels.pack_raw(folded, tokens, layout.lows, layout.widths, counts, starts, out)
    assert status != kernels.WRONG_COUNT  # noqa: S101 - the counts are of these tokens
    return out.tobytes()


def unpack_raw(data: bytes, tokens: Bytes, layout: RawLayout) -> Folded:
    """Return the folded values [n] of tokens [n], from what `pack_raw` wrote.

    Raises `IntegrityError` unless `data` has exactly the size needed.
    """
    counts = _width_counts(tokens, layout)
    starts = _starts(counts)
    if len(data) != starts[-1]:
        message = (
            f"the raw bits of an entropy-coded stream are {len(data)} bytes, expected {starts[-1]}"
        )
        raise IntegrityError(message)
    flat = np.frombuffer(data, dtype=np.uint8)
    if compiled(tokens.size):
        folded = np.empty(tokens.size, dtype=np.uint32)
        status = kernels.unpack_raw(
            tokens, layout.lows, layout.widths, counts, starts, flat, folded
        )
        assert status != kernels.WRONG_COUNT  # noqa: S101 - the counts are of these tokens
        return folded
    folded = layout.lows.take(tokens)
    folded += _unpack_plain(flat, counts, layout.widths.take(tokens))
    return folded


def _unpack_plain(flat: Bytes, counts: npt.NDArray[np.int64], widths: Bytes) -> Folded:
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


def _width_counts(tokens: Bytes, layout: RawLayout) -> npt.NDArray[np.int64]:
    """Return how many tokens are followed by each number of raw bits, [_WIDTHS]."""
    counts = byte_counts(tokens)
    return np.bincount(layout.widths, weights=counts, minlength=_WIDTHS).astype(np.int64)


def byte_counts(values: Bytes) -> npt.NDArray[np.int64]:
    """Count each byte [256]; in blocks, because numpy converts what it counts to eight bytes."""
    counts = np.zeros(256, dtype=np.int64)
    if compiled(values.size):
        kernels.count_bytes(values, counts)
        return counts
    for start in range(0, values.size, _BLOCK):
        counts += np.bincount(values[start : start + _BLOCK], minlength=256)
    return counts


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the offset of the values of each width, and the size of all of them at the end."""
    width = np.arange(counts.size)
    sizes = counts * (width // 8) + (counts * (width % 8) + 7) // 8
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])


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
