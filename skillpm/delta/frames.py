"""Parts of a payload: plain bytes, or one zstd frame of them where that is smaller."""

import zstandard

from skillpm.errors import IntegrityError

LEVEL = 1
WINDOW_LIMIT = 128 << 20
PROBE = 1 << 16
_WORTH = 0.98


def compress(data: bytes | memoryview, *, level: int = LEVEL) -> bytes | None:
    """One zstd frame that names its content size, or None where it would not be smaller.

    Noise is told by a sample, so that it costs next to nothing. One thread: the bytes of a frame
    depend on the number of threads.
    """
    compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
    if len(data) > 4 * PROBE:
        middle = len(data) // 2
        sample = bytes(data[middle : middle + PROBE])
        if len(compressor.compress(sample)) > _WORTH * PROBE:
            return None
    frame = compressor.compress(data)
    return frame if len(frame) < len(data) else None


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
