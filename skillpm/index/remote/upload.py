"""Uploads of blobs, in chunks that continue after a cut connection or a killed command."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import quote

from skillpm.errors import IntegrityError
from skillpm.index.remote.answers import JSON_TYPE, check_answer, read_answer
from skillpm.index.remote.errors import (
    CONFLICT,
    NOT_FOUND,
    BadReplyError,
    TransientError,
    UnreachableRegistryError,
)
from skillpm.index.remote.transport import Call, Transport
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.registry_api import CHUNK_LIMIT, OFFSET, UploadDocument, UploadRequest

FINISH_TIMEOUT = 600.0
"""Seconds for which a registry may hash and store what it received before it answers."""
_CHUNK_LEAST = 1 << 16
_ROUND_LIMIT = 1000
"""How often the rest of a blob is sent."""
_BYTES = "application/octet-stream"
OpenBlob = Callable[[Digest], BinaryIO]


@dataclass
class _LocalBlob:
    """A blob on this machine, read at any offset. Reading forwards needs one pass."""

    digest: Digest
    size: int
    open_blob: OpenBlob
    _stack: ExitStack = field(default_factory=ExitStack)
    _stream: BinaryIO | None = None
    _position: int = 0

    def read(self, offset: int, count: int) -> bytes:
        """The bytes from `offset`. Raises `IntegrityError` if the blob is shorter."""
        if self._stream is None or offset < self._position:
            self.close()
            self._stream = self._stack.enter_context(self.open_blob(self.digest))
            self._position = 0
        while self._position < offset:
            self._next(min(offset - self._position, 1 << 20))
        data = b""
        while len(data) < min(count, self.size - offset):
            data += self._next(count - len(data))
        return data

    def _next(self, count: int) -> bytes:
        assert self._stream is not None  # noqa: S101 - `read` has opened it
        data = self._stream.read(count)
        if not data:
            raise IntegrityError(f"blob `{self.digest}` ends before its {self.size} bytes")
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the stream."""
        self._stack.close()
        self._stream = None


@dataclass(frozen=True)
class Uploader:
    """Uploads blobs for a release of a namespace.

    `service` is the URL above `/v1`; `action` completes "cannot …" in errors.
    """

    transport: Transport
    service: str
    namespace: str
    action: str

    def upload(self, digest: Digest, size: int, open_blob: OpenBlob) -> int:
        """Upload a blob, unless the registry has it. Returns the bytes sent.

        Chunks that the registry has acknowledged, to this command or to an earlier one, are not
        sent again. Raises `IntegrityError` if the blob is shorter than `size`, and
        `UnreachableRegistryError` if the registry does not keep what it accepts.
        """
        blob, sent, failures, best = _LocalBlob(digest, size, open_blob), 0, 0, 0
        state = self._begin(digest, size)
        try:
            for _ in range(_ROUND_LIMIT):
                if state.state != "open":
                    return sent
                problem = TransientError("it accepts the blob, but does not keep it")
                try:
                    sent += self._send_rest(state, blob)
                    self._finish(state)
                except TransientError as failure:
                    problem = failure
                state = self._begin(digest, size)
                if state.state == "open":
                    failures = 1 if state.offset > best else failures + 1
                    best = max(best, state.offset)
                    self.transport.pause(failures, problem, is_transfer=True)
        finally:
            blob.close()
        raise UnreachableRegistryError(self.transport.origin, "the upload does not end")

    def _begin(self, digest: Digest, size: int) -> UploadDocument:
        """Start an upload, or find the state of one that was started before."""
        request = UploadRequest(digest=digest, size=size, namespace=self.namespace)
        url, action = f"{self.service}/v1/uploads", self.action
        headers, body = {"content-type": JSON_TYPE}, json.canonical(request.to_dict())
        call = Call("POST", url, action, headers, body, is_transfer=True)
        reply = self.transport.ask(call)
        state = read_answer(UploadDocument, reply, self.transport)
        if state.state == "open" and (not state.id or state.offset > size):
            raise BadReplyError(self.transport.origin, action, "it describes no valid upload")
        return state

    def _send_rest(self, state: UploadDocument, blob: _LocalBlob) -> int:
        """Send the chunks from the offset of an upload on. Returns their bytes."""
        offset = state.offset
        step = max(_CHUNK_LEAST, min(state.chunk_bytes, CHUNK_LIMIT))
        while offset < blob.size:
            chunk = blob.read(offset, step)
            self._send_chunk(state, offset, chunk)
            offset += len(chunk)
        return offset - state.offset

    def _send_chunk(self, state: UploadDocument, offset: int, chunk: bytes) -> None:
        """Send a chunk once.

        Raises `TransientError`, also if the registry continues the upload at another offset.
        """
        headers = {"content-type": _BYTES, OFFSET.lower(): str(offset)}
        call = Call("PATCH", self._url(state), "upload a chunk", headers, chunk)
        reply = self.transport.send_once(call)
        if reply.status in (CONFLICT, NOT_FOUND):
            raise TransientError("it lost a part of the upload")
        check_answer(call, reply, self.transport)
        if read_answer(UploadDocument, reply, self.transport).offset != offset + len(chunk):
            raise TransientError("it lost a part of the upload")

    def _finish(self, state: UploadDocument) -> None:
        """Let the registry check the digest. Raises `TransientError` if it lacks bytes."""
        call = Call(
            "PUT",
            self._url(state),
            f"finish the blob `{state.digest.short}`",
            timeout=FINISH_TIMEOUT,
        )
        reply = self.transport.send_once(call)
        if reply.status in (CONFLICT, NOT_FOUND):
            raise TransientError("it lost a part of the upload")
        check_answer(call, reply, self.transport)

    def _url(self, state: UploadDocument) -> str:
        return f"{self.service}/v1/uploads/{quote(state.id or '', safe='')}"
