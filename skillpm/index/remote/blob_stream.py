"""A blob of a registry as a stream that continues after a cut connection."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress

from skillpm.index.remote.bodies import declared_length
from skillpm.index.remote.connecting import translated
from skillpm.index.remote.errors import (
    GONE,
    NOT_FOUND,
    BadReplyError,
    Problem,
    TransientError,
    UnreachableRegistryError,
)
from skillpm.index.remote.library import httpx
from skillpm.index.remote.transport import ANSWER_LIMIT, Call, Transport

_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
_STRONG = re.compile(r'"[\x21\x23-\x7e]{0,256}"')
_PROGRESS = 1 << 16
"""Bytes after which a cut counts as the first one again."""
_CUT_LIMIT = 1000


class RemoteBlob(io.RawIOBase):
    """The bytes of a blob, asked for when they are read. A read may return fewer than asked for.

    The blob is at the first of `urls` that does not answer "not found".

    After a cut, the rest is asked for with `Range`, and with `If-Range` if the server sent a strong
    ETag. If it sends the whole blob again, the bytes that were read are skipped. The stream checks
    lengths; the reader checks the digest. Reading raises `NotFoundError`, `AuthError`,
    `BadReplyError`, and `UnreachableRegistryError` after the last try.
    """

    def __init__(self, transport: Transport, urls: Sequence[str], action: str) -> None:
        super().__init__()
        self._transport = transport
        self._urls = list(urls)
        self._action = action
        self._position = 0
        self._size: int | None = None
        self._etag: str | None = None
        self._chunks: Iterator[bytes] | None = None
        self._pending = memoryview(b"")
        self._response = ExitStack()
        self._failures = self._cuts = self._since = 0

    def start_at(self, offset: int, size: int) -> None:
        """Read from `offset` on; the whole blob has `size` bytes. Call it before the first read."""
        self._position, self._size = offset, size

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read the next bytes. Returns their number, 0 at the end."""
        while not self._pending and not self._is_complete:
            try:
                self._receive()
            except TransientError as problem:
                self._recover(problem)
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    @property
    def _is_complete(self) -> bool:
        return self._position == self._size

    def _receive(self) -> None:
        """Take the next chunk of the response; ask for one if there is none."""
        if self._chunks is None:
            self._chunks = self._ask()
        try:
            chunk = next(self._chunks, b"")
        except httpx.TransportError as problem:
            raise translated(self._transport.origin, problem) from problem
        if not chunk:
            if self._size is not None:
                raise TransientError("the connection was cut before the end of the blob")
            self._size = self._position  # no length was sent: this is the end
        self._position += len(chunk)
        self._since += len(chunk)
        self._pending = memoryview(chunk)
        if self._is_complete:
            self._drain(self._chunks)
        elif self._size is not None and self._position > self._size:
            raise self._too_long()

    def _drain(self, chunks: Iterator[bytes]) -> None:
        """Read the end of a response, so that its connection serves the next request."""
        with suppress(httpx.TransportError, TransientError):
            if next(chunks, b""):
                raise self._too_long()
        self._hang_up()

    def _too_long(self) -> BadReplyError:
        return self._bad(f"it sends more than the {self._size} bytes of the blob")

    def _recover(self, problem: TransientError) -> None:
        self._hang_up()
        if self._since >= _PROGRESS:
            self._failures = 0
        self._since = 0
        self._failures += 1
        self._cuts += 1
        if self._cuts > _CUT_LIMIT:
            raise UnreachableRegistryError(self._transport.origin, problem.reason)
        self._transport.pause(self._failures, problem, is_transfer=True)

    def _ask(self) -> Iterator[bytes]:
        """Ask for the rest. Returns the chunks from the position on."""
        headers: dict[str, str] = {}
        if self._position:
            headers["range"] = f"bytes={self._position}-"
            if self._etag:
                headers["if-range"] = self._etag
        response = self._open(headers)
        start = self._start_of(response)
        if _STRONG.fullmatch(response.headers.get("etag", "")):
            self._etag = response.headers["etag"]
        chunks = (chunk for chunk in response.iter_raw() if chunk)
        return _skipping(chunks, self._position - start)

    def _open(self, headers: Mapping[str, str]) -> httpx.Response:
        while True:
            call = Call("GET", self._urls[0], self._action, headers)
            response = self._response.enter_context(self._transport.open(call))
            if response.status_code not in (NOT_FOUND, GONE) or len(self._urls) == 1:
                return response
            self._hang_up()
            del self._urls[0]

    def _start_of(self, response: httpx.Response) -> int:
        """Check status and lengths of a response. Returns the offset of its first byte."""
        headers, status = response.headers, response.status_code
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise self._bad("it sends the blob compressed; `identity` was asked for")
        if status == _OK:
            self._check_size(declared_length(headers))
            return 0
        if status == _PARTIAL and self._position:
            return self._start_of_part(headers)
        if status == _NOT_SATISFIABLE:
            raise self._bad(f"it has no bytes after the first {self._position}")
        data = b"".join(_limited(response.iter_raw(), ANSWER_LIMIT))
        problem = Problem.parse(data, headers)
        raise self._transport.refusal(self._action, status, problem)

    def _start_of_part(self, headers: Mapping[str, str]) -> int:
        match = _RANGE.fullmatch(headers.get("content-range", ""))
        if match is None or int(match[1]) != self._position:
            raise self._bad(f"it answers with another range than from byte {self._position} on")
        self._check_size(None if match[3] == "*" else int(match[3]))
        return self._position

    def _check_size(self, size: int | None) -> None:
        if size is None:
            return
        if self._size is not None and size != self._size:
            raise self._bad(f"it has {size} bytes; expected {self._size}")
        self._size = size

    def _bad(self, problem: str) -> BadReplyError:
        return BadReplyError(self._transport.origin, self._action, problem)

    def _hang_up(self) -> None:
        self._chunks = None
        with suppress(TransientError, httpx.TransportError):
            self._response.close()

    def close(self) -> None:
        """Close the connection. May be called more than once."""
        if not self.closed:
            self._hang_up()
        super().close()


def _skipping(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The chunks without their first `count` bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(0, count - len(chunk))


def _limited(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[:limit]
        limit -= len(chunk)
        if limit <= 0:
            return
