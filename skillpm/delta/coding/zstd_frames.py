"""Parts of a payload: raw bytes, or one zstd frame if that is smaller."""

import threading
from collections.abc import Mapping, Sequence

import zstandard

from skillpm.errors import IntegrityError

WINDOW_LIMIT = 128 << 20
"""The largest zstd window, in bytes, that is decoded."""
PROBE = 1 << 16
"""Bytes of the sample on which the two strategies are compared."""
_LEAST_BLOCK = 1 << 11
"""The fewest bytes of a block: its Huffman codes take about a hundred."""
_WORTH = 0.98
"""A large part is stored raw unless its sample shrinks at least to this share."""
_ENTROPY = {"strategy": zstandard.STRATEGY_FAST, "min_match": 7, "hash_log": 6}
_KEPT_LIMIT = 8
"""The most compressors that a thread keeps; each takes up to some 100 KB."""
_STRATEGIES: tuple[dict[str, int], ...] = (_ENTROPY, {})
"""Two parameter sets that write the same format.

Byte planes of a delta contain almost no repetitions. Searching for them takes most of the time, and
false matches cost bytes, so Huffman codes alone (the first set) are often smaller.
"""


def compress(data: bytes | memoryview) -> bytes | None:
    """Compress to one zstd frame with its content size, or return None if that is not smaller.

    A sample decides which strategy is used, and detects noise, which then costs almost no time.
    Compression runs in one thread, because the bytes of a frame depend on the number of threads.
    """
    middle = max(0, len(data) - PROBE) // 2
    sample = data[middle : middle + PROBE]
    frames = [_frame(sample, number) for number in range(len(_STRATEGIES))]
    smallest = min(frames, key=len)
    if len(data) > 4 * PROBE and len(smallest) > _WORTH * PROBE:
        return None
    is_whole = len(sample) == len(data)
    frame = smallest if is_whole else _frame(data, frames.index(smallest))
    return frame if len(frame) < len(data) else None


def _frame(data: bytes | memoryview, strategy: int) -> bytes:
    if len(data) > PROBE:
        return _compressor(len(data), strategy).compress(data)
    key = (len(data), strategy)
    kept = _KEPT.compressors
    if key not in kept:
        if len(kept) == _KEPT_LIMIT:
            kept.clear()
        kept[key] = _compressor(*key)
    return kept[key].compress(data)


class _KeptCompressors(threading.local):
    """The compressors of a thread, by size and strategy; each costs more than a small frame."""

    def __init__(self) -> None:
        self.compressors: dict[tuple[int, int], zstandard.ZstdCompressor] = {}


_KEPT = _KeptCompressors()


def _compressor(size: int, strategy: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(compression_params=_settings(size, _STRATEGIES[strategy]))


def _settings(size: int, strategy: Mapping[str, int]) -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(
        1, **strategy, source_size=size, write_content_size=True
    )


def compress_blocks(data: memoryview, ends: Sequence[int]) -> bytes | None:
    """Compress to one zstd frame whose blocks end at `ends`, or None if that is not smaller.

    Each block has its own Huffman codes. `ends` are ascending positions; ends that would leave a
    block of less than `_LEAST_BLOCK` bytes are skipped. Repetitions are hardly searched.
    """
    compressor = zstandard.ZstdCompressor(compression_params=_settings(len(data), _ENTROPY))
    stream = compressor.compressobj(size=len(data))
    pieces: list[bytes] = []
    last = 0
    for end in ends:
        if min(end - last, len(data) - end) >= _LEAST_BLOCK:
            pieces.append(stream.compress(data[last:end]))
            pieces.append(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            last = end
    pieces.append(stream.compress(data[last:]))
    pieces.append(stream.flush())
    frame = b"".join(pieces)
    return frame if len(frame) < len(data) else None


def decompress(frame: bytes, expected: int, what: str) -> bytes:
    """Return the content of a frame, which must be exactly `expected` bytes.

    Raises `IntegrityError` if the frame is damaged. Before any memory is allocated, raises it if
    the frame declares another size, a window over 128 MiB, or a dictionary.
    """
    try:
        declared = zstandard.get_frame_parameters(frame)
        if declared.content_size != expected or declared.dict_id:
            raise IntegrityError(
                f"{what} declares {declared.content_size} decompressed bytes, expected {expected}"
            )
        if declared.window_size > WINDOW_LIMIT:
            size = declared.window_size
            message = f"{what} needs a zstd window of {size} bytes, over the limit {WINDOW_LIMIT}"
            raise IntegrityError(message)
        if not expected:
            return b""
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT)
        data = decompressor.decompress(frame, max_output_size=expected, allow_extra_data=False)
    except zstandard.ZstdError as problem:
        raise IntegrityError(f"{what} is not a zstd frame: {problem}") from problem
    if len(data) != expected:
        raise IntegrityError(f"{what} has {len(data)} bytes, expected {expected}")
    return data
