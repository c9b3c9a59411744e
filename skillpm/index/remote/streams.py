"""Connections that end if a server sends too slowly, or never ends the headers of its answer.

httpx limits the time of each read. A server that sends one byte in each of them would otherwise
hold a command for weeks.
"""

import time
from collections.abc import Iterable
from ssl import SSLContext
from typing import Any

import httpcore

from skillpm.index.remote.library import httpx
from skillpm.index.remote.retry import RetryPolicy

HEAD_LIMIT = 1 << 19
"""Bytes before the body of an answer, and those of the body that come with them."""


class SlowServerError(httpcore.ReadTimeout):
    """A server sends less than the least speed."""


class EndlessHeadError(httpcore.RemoteProtocolError):
    """A server sends interim answers without end."""


class PacedStream(httpcore.NetworkStream):
    """A connection. `begin_body` says that the headers of the answer have been read.

    Only the time in which the client waits counts, and the server may take its time before the
    first byte. Every write begins a new request.
    """

    def __init__(self, stream: httpcore.NetworkStream, policy: RetryPolicy) -> None:
        self._stream = stream
        self._policy = policy
        self._begin_request()

    def _begin_request(self) -> None:
        self._has_begun, self._is_head = False, True
        self._waited, self._received, self._head = 0.0, 0, 0

    def begin_body(self) -> None:
        """Stop counting the bytes of the headers."""
        self._is_head = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read from the connection. Raises `SlowServerError` and `EndlessHeadError`."""
        began = time.monotonic()
        data = self._stream.read(max_bytes, timeout)
        if self._has_begun:
            self._waited += time.monotonic() - began
        self._has_begun = True
        self._received += len(data)
        if self._is_head:
            self._head += len(data)
        self._check()
        return data

    def _check(self) -> None:
        if self._head > HEAD_LIMIT:
            raise EndlessHeadError(f"more than {HEAD_LIMIT} bytes came before the answer")
        if self._waited < self._policy.window:
            return
        if self._received < self._policy.least_speed * self._waited:
            raise SlowServerError(f"only {self._received} bytes came in {self._waited:.0f} seconds")
        self._waited, self._received = 0.0, 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write to the connection."""
        self._begin_request()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "PacedStream":
        """The connection with TLS. OpenSSL's handshake has a limit of its whole time."""
        secure = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return PacedStream(secure, self._policy)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore knows of the connection, such as its `socket`."""
        return self._stream.get_extra_info(info)


class PacedBackend(httpcore.NetworkBackend):
    """Makes paced connections."""

    def __init__(self, backend: httpcore.NetworkBackend, policy: RetryPolicy) -> None:
        self._backend = backend
        self._policy = policy

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> PacedStream:
        """Connect to a host."""
        options = (host, port, timeout, local_address, socket_options)
        return PacedStream(self._backend.connect_tcp(*options), self._policy)


def pace(client: httpx.Client, policy: RetryPolicy) -> None:
    """Make all connections of a new client paced, also those to proxies.

    httpx has no setting for the backend of its pools, so this sets an attribute of theirs.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool  # noqa: SLF001
            pool._network_backend = PacedBackend(pool._network_backend, policy)  # noqa: SLF001
