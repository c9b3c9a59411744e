"""Bodies of requests: read whole, with limits on size, time and memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from skillpm_registry.app.problems import HttpError, OverloadedError

_GRACE = 10.0
"""Seconds before the speed of a body counts."""
_PAUSE = 30.0
"""Seconds for which a client may send nothing."""


@dataclass
class BodyMemory:
    """A budget of bytes for the bodies of all requests. Belongs to one event loop."""

    limit: int
    used: int = 0

    @asynccontextmanager
    async def reserved(self, size: int) -> AsyncIterator[None]:
        """Reserve memory for a body while it is handled. Raises `OverloadedError`."""
        if self.used and self.used + size > self.limit:
            raise OverloadedError
        self.used += size
        try:
            yield
        finally:
            self.used -= size


def announced_size(request: Request, limit: int) -> int:
    """The number of bytes to expect: `Content-Length`, or `limit` for a chunked body.

    Raises `HttpError` for a body that is too large, compressed, or whose length is malformed.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise HttpError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body is compressed; send it without `Content-Encoding`",
        )
    text = request.headers.get("content-length")
    if text is None:
        return limit if "transfer-encoding" in request.headers else 0
    if not (text.isascii() and text.isdigit()):
        raise HttpError(HTTPStatus.BAD_REQUEST, "`Content-Length` is not a number")
    if len(text) > len(str(limit)) or int(text) > limit:
        raise HttpError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {limit} bytes"
        )
    return int(text)


async def read_body(request: Request, limit: int, *, slowest: int) -> bytes:
    """Read a body of at most `limit` bytes that arrives at `slowest` bytes per second or faster.

    Raises `HttpError`: 413 for a longer body, 408 for a slow one, 400 for one that is cut off.
    """
    expected = announced_size(request, limit)
    chunks: list[bytes] = []
    size, clock = 0, asyncio.get_running_loop().time
    start = clock()
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_PAUSE):
                chunk = await anext(stream, None)
        except TimeoutError as problem:
            raise _too_slow() from problem
        except ClientDisconnect as problem:
            raise HttpError(HTTPStatus.BAD_REQUEST, "the body was cut off") from problem
        if chunk is None:
            break
        size += len(chunk)
        if size > limit:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {limit} bytes"
            )
        chunks.append(chunk)
        elapsed = clock() - start
        if elapsed > _GRACE and size < slowest * (elapsed - _GRACE):
            raise _too_slow()
    if "content-length" in request.headers and size != expected:
        raise HttpError(
            HTTPStatus.BAD_REQUEST, f"the body has {size} bytes; its header says {expected}"
        )
    return b"".join(chunks)


def _too_slow() -> HttpError:
    return HttpError(HTTPStatus.REQUEST_TIMEOUT, "the body arrives too slowly")
