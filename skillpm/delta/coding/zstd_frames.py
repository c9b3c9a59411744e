"""Parts of a payload: plain bytes, or one zstd frame of them where that is smaller."""

import zstandard

from skillpm.errors import IntegrityError

WINDOW_LIMIT = 128 << 20
PROBE = 1 << 16
_WORTH = 0.98
_ENTROPY = {"strategy": zstandard.STRATEGY_FAST, "min_match": 7, "hash_log": 6}
_WAYS: tuple[dict[str, int], ...] = (_ENTROPY, {})
"""Two ways to one frame format. Byte planes of a delta hold next to no repetitions: a search for
them costs most of the time, and false finds cost bytes. Huffman codes alone are then smaller."""


def compress(data: bytes | memoryview) -> bytes | None:
    """One zstd frame that names its content size, or None where it would not be smaller.

    A sample tells which way is smaller, and tells noise, which so costs next to nothing. One
    thread: the bytes of a frame depend on the number of threads.
    """
    middle = max(0, len(data) - PROBE) // 2
    sample = data[middle : middle + PROBE]
    found = [(len(_frame(sample, way)), number) for number, way in enumerate(_WAYS)]
    smallest, number = min(found)
    if len(data) > 4 * PROBE and smallest > _WORTH * PROBE:
        return None
    frame = _frame(data, _WAYS[number])
    return frame if len(frame) < len(data) else None


def _frame(data: bytes | memoryview, way: dict[str, int]) -> bytes:
    settings = zstandard.ZstdCompressionParameters.from_level(
        1, **way, source_size=len(data), write_content_size=True
    )
    return zstandard.ZstdCompressor(compression_params=settings).compress(data)


def decompress(frame: bytes, expected: int, what: str) -> bytes:
    """The content of a frame that must hold exactly `expected` bytes.

    Raises `IntegrityError` before any memory is taken where the frame claims another size, a
    window over 128 MiB, or a dictionary; and where it is damaged.
    """
    try:
        claims = zstandard.get_frame_parameters(frame)
        if claims.content_size != expected or claims.dict_id:
            raise IntegrityError(
                f"{what} should decompress to {expected} bytes, claims {claims.content_size}"
            )
        if claims.window_size > WINDOW_LIMIT:
            raise IntegrityError(f"{what} asks for a zstd window of {claims.window_size} bytes")
        if not expected:
            return b""
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT)
        data = decompressor.decompress(frame, max_output_size=expected, allow_extra_data=False)
    except zstandard.ZstdError as problem:
        raise IntegrityError(f"{what} is not a zstd frame: {problem}") from problem
    if len(data) != expected:
        raise IntegrityError(f"{what} should hold {expected} bytes, holds {len(data)}")
    return data
