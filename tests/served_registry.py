"""A server of static files that misbehaves on request.

`FaultyServer` serves a folder on 127.0.0.1 with `Range`, `If-Range` and ETags, as nginx does. A
fault replaces one answer; faults are taken in order, each for the first request that matches.
"""

import email.utils
import hashlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Seen:
    """A request that the server got, its status, and the bytes of bodies that it sent."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Serves a folder. `server` is a `_Server`."""

    protocol_version = "HTTP/1.1"
    server: "_Server"
    seen: Seen

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_HEAD = do_GET  # noqa: N815 - the base class's names

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = Seen(self.command, self.path, headers)
        fault = self.server.take(self.path)
        with self.server.answering(self.seen):
            try:
                (fault or Handler.serve_file)(self)
            except OSError:
                self.close_connection = True  # the client hung up

    def serve_file(self) -> None:
        """Serve the file at the path as a good server does."""
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if self.command != "GET":
            self.answer(405, b"<html>not allowed</html>", {"content-type": "text/html"})
        elif not path.is_file():
            self.answer(404, b"<html>not found</html>", {"content-type": "text/html"})
        else:
            self.serve_bytes(path.read_bytes())

    def serve_bytes(self, data: bytes, *, most: int | None = None) -> None:
        """Answer with a body, or a part of it; cut the connection after `most` bytes."""
        etag = f'"{hashlib.md5(data).hexdigest()}"'  # noqa: S324 - an ETag, not a signature
        headers = {"etag": etag, **self.server.headers}
        asked = self.seen.headers
        if asked.get("if-none-match") == etag:
            self.answer(304, b"", headers)
            return
        part = re.fullmatch(r"bytes=([0-9]+)-", asked.get("range", ""))
        start = int(part[1]) if part and asked.get("if-range", etag) == etag else 0
        if start >= len(data) > 0:
            self.answer(416, b"", {"content-range": f"bytes */{len(data)}"})
            return
        if start:
            headers["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, data[start:], headers, most=most)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str], *, most: int | None = None
    ) -> None:
        """Send an answer; cut the connection after `most` bytes of the body."""
        self.start(status, {"content-length": str(len(body)), **headers})
        self.send(body if most is None else body[:most])
        if most is not None and most < len(body):
            self.close_connection = True

    def start(self, status: int, headers: dict[str, str]) -> None:
        """Send the status and the headers."""
        self.seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Send bytes of the body."""
        for at in range(0, len(data), 1 << 16):
            self.wfile.write(data[at : at + (1 << 16)])
            self.seen.sent += len(data[at : at + (1 << 16)])

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", "0")))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.headers: dict[str, str] = {}
        self.requests: list[Seen] = []
        self.faults: list[tuple[re.Pattern[str], Fault]] = []
        self.guard = threading.Lock()
        self.open = 0
        self.done = threading.Condition()

    @contextmanager
    def answering(self, seen: Seen) -> Iterator[None]:
        """Note a request; `wait` waits until its answer is sent."""
        with self.done:
            self.requests.append(seen)
            self.open += 1
        try:
            yield
        finally:
            with self.done:
                self.open -= 1
                self.done.notify_all()

    def wait(self) -> None:
        """Wait until all answers are sent: the client may have read one before it is noted."""
        with self.done:
            self.done.wait_for(lambda: not self.open, timeout=2)

    def take(self, path: str) -> Fault | None:
        """The first fault for a path, which is used up."""
        with self.guard:
            for position, (pattern, fault) in enumerate(self.faults):
                if pattern.search(path):
                    del self.faults[position]
                    return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


@dataclass
class FaultyServer:
    """A running server of a folder."""

    server: _Server

    @property
    def url(self) -> str:
        scheme = "https" if isinstance(self.server.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server.server_port}"

    @property
    def requests(self) -> list[Seen]:
        self.server.wait()
        return self.server.requests

    def paths(self, part: str = "") -> list[str]:
        """The paths of all requests that contain a text."""
        return [seen.path for seen in self.requests if part in seen.path]

    def fault(self, pattern: str, *faults: Fault) -> None:
        """Answer the next requests whose path matches with these faults, one each."""
        self.server.faults += [(re.compile(pattern), fault) for fault in faults]


@contextmanager
def serving(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """Serve a folder until the block ends; over HTTPS with a `tls` context."""
    server = _Server(folder)
    if tls is not None:  # each handshake happens in the thread of its connection
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield FaultyServer(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """A fault: an answer with this status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, body, named)


def problem(code: int, kind: str, detail: str) -> Fault:
    """A fault: a refusal as the service words it."""
    body = f'{{"title":"x","status":{code},"kind":"{kind}","detail":"{detail}"}}'.encode()
    return status(code, body, content_type="application/problem+json")


def cut_after(count: int) -> Fault:
    """A fault: the right answer, cut after a number of bytes of its body."""

    def fault(handler: Handler) -> None:
        data = (handler.server.folder / handler.path.lstrip("/")).read_bytes()
        handler.serve_bytes(data, most=count)

    return fault


@dataclass
class Stall:
    """A fault: the start of the right answer, then silence until the client hangs up."""

    count: int
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def __call__(self, handler: Handler) -> None:
        data = (handler.server.folder / handler.path.lstrip("/")).read_bytes()
        handler.start(200, {"content-length": str(len(data))})
        handler.send(data[: self.count])
        self.reached.set()
        self.over.wait(60)
        handler.close_connection = True


def hang_up(handler: Handler) -> None:
    """A fault: close the connection without an answer."""
    handler.close_connection = True


def later(seconds: float) -> str:
    """An HTTP date this many seconds from now."""
    import time

    return email.utils.formatdate(time.time() + seconds, usegmt=True)
