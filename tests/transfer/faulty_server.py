"""A server on 127.0.0.1 that misbehaves as a script says. It is for faults only."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Reply = Callable[[socket.socket], None]


def chunk(**more: object) -> bytes:
    return b"data: " + json.dumps(more).encode() + b"\n\n"


def piece(text: str, finish: str | None = None) -> bytes:
    return chunk(choices=[{"delta": {"content": text}, "finish_reason": finish}])


def status(code: int, *headers: str, body: bytes = b"{}") -> Reply:
    head = "".join(f"{line}\r\n" for line in (*headers, f"content-length: {len(body)}"))
    data = f"HTTP/1.1 {code} X\r\n{head}connection: close\r\n\r\n".encode() + body
    return lambda connection: connection.sendall(data)


def stream(*events: bytes) -> Reply:
    """A streamed answer, which ends when the connection does."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return lambda connection: connection.sendall(head + b"".join(events))


def torn(*events: bytes) -> Reply:
    """A streamed answer whose length promises more than comes."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\nconnection: close\r\n\r\n"
    return lambda connection: connection.sendall(head + b"".join(events))


def silence(connection: socket.socket) -> None:
    connection.settimeout(5)
    connection.recv(1)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff not HTTP\r\n\r\n")


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while True:
        connection.sendall(piece("x" * 60_000))


GOOD = stream(
    piece("4"),
    piece("2", "stop"),
    chunk(choices=[], usage={"completion_tokens": 2}),
    b"data: [DONE]\n\n",
)


@dataclass
class FaultyServer:
    """Answers the n-th connection by the n-th reply, and further ones by the last."""

    replies: Sequence[Reply]
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def serving(*replies: Reply) -> Iterator[FaultyServer]:
    server = FaultyServer(replies)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        threading.Thread(target=_serve, args=(listener, server), daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection


def _serve(listener: socket.socket, server: FaultyServer) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            try:
                server.requests.append(_request(connection))
                number = min(len(server.requests), len(server.replies)) - 1
                server.replies[number](connection)
            except OSError:
                continue


def _request(connection: socket.socket) -> bytes:
    """The whole request: head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"),
        0,
    )
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
