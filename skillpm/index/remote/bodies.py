"""Bodies of responses, read within limits of size and time."""

import zlib
from collections.abc import Iterable, Mapping

from skillpm.index.remote.errors import TransientError
from skillpm.spec.faults import describe_value

_GZIP = 16 + zlib.MAX_WBITS


class BodyLimitError(Exception):
    """A body is larger than its limit, or is encoded in a way that was not asked for."""


def declared_length(headers: Mapping[str, str]) -> int | None:
    """The number of bytes that `Content-Length` states; None without one."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def read_body(chunks: Iterable[bytes], headers: Mapping[str, str], limit: int) -> bytes:
    """A whole body, decompressed, of at most `limit` bytes; memory is bounded by it too.

    Raises `BodyLimitError`, and `TransientError` for a compressed body that ends too soon.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise BodyLimitError(f"it has the encoding {describe_value(encoding)}; expected gzip")
    length = declared_length(headers)
    if length is not None and length > limit:
        raise BodyLimitError(f"it announces {length} bytes; the limit is {limit}")
    body = bytearray()
    unpack = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    for chunk in chunks:
        body += chunk if unpack is None else _unpacked(unpack, chunk, limit + 1 - len(body))
        if len(body) > limit:
            raise BodyLimitError(f"it has more than {limit} bytes")
    if unpack is not None and not unpack.eof:
        raise TransientError("the connection was cut in a compressed body")
    return bytes(body)


def _unpacked(unpack: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    try:
        data = unpack.decompress(chunk, max(1, room))
    except zlib.error as problem:
        raise BodyLimitError(f"it is not gzip: {problem}") from problem
    if unpack.unused_data or (unpack.eof and not data):
        raise BodyLimitError("bytes follow the end of its gzip stream")
    return data
