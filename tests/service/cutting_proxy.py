"""A TCP proxy that cuts or holds connections after a number of bytes from the client."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BLOCK = 1 << 15


@dataclass
class CuttingProxy:
    """A proxy on 127.0.0.1 to the server at `target`, which may be changed.

    Each number in `cuts` is for one connection, which is closed after it sent that many bytes. When
    all connections have sent `hold` bytes, `held` is set, and the connection that sends the next
    ones waits for `resume` and is closed. `sent` counts the bytes of clients that were passed on,
    `received` those of the server. `rate` limits both, in bytes per second and connection.
    """

    target: str
    cuts: list[int] = field(default_factory=list)
    hold: int | None = None
    held: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    received: int = 0
    rate: float = float("inf")
    listener: socket.socket = field(default_factory=socket.socket)
    guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        parts = urlsplit(self.target)
        with contextlib.suppress(OSError), client:
            server = socket.create_connection((parts.hostname, parts.port))
            with server:
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pass_on(client, server)
                if self.resume.is_set() or not self.held.is_set():
                    back.join(1)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK):
                target.sendall(data)
                self.received += len(data)
                time.sleep(len(data) / self.rate)
            target.shutdown(socket.SHUT_WR)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        while data := client.recv(_BLOCK):
            with self.guard:
                cut = self.cuts.pop(0) if self.cuts and passed >= self.cuts[0] else None
                holds = self.hold is not None and self.sent >= self.hold
                if holds:
                    self.hold = None
            if cut is not None:
                _close(client, server)
                return
            if holds:
                self.held.set()
                self.resume.wait(60)
                _close(client, server)
                return
            server.sendall(data)
            passed += len(data)
            self.sent += len(data)
            time.sleep(len(data) / self.rate)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxying(url: str) -> Iterator[CuttingProxy]:
    """A proxy to a server, until the block ends."""
    proxy = CuttingProxy(url)
    proxy.run()
    try:
        yield proxy
    finally:
        proxy.resume.set()
        with contextlib.suppress(OSError):
            proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
