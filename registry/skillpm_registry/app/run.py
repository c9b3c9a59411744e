"""Serving a registry: granian on one socket, until SIGINT or SIGTERM."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from granian.constants import Interfaces
from granian.errors import FatalError
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.applications import Starlette

from skillpm.errors import StateError
from skillpm_registry.app.asgi import Lifespan, make_app
from skillpm_registry.app.background import ServiceThreads
from skillpm_registry.app.documents import write_documents
from skillpm_registry.app.logs import log, start_logging
from skillpm_registry.app.service import Service

BACKLOG = 1024
CONNECTIONS = 1024
HEADER_MS = 10_000
HEADER_BYTES = 64 << 10


@dataclass(frozen=True)
class Address:
    """Where to listen. Port 0 is any free port."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as an HTTP URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def free_port(address: Address) -> Address:
    """The address with a port that is free now. Raises `StateError` if it cannot be used."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
            return Address(address.host, probe.getsockname()[1])
    except OSError as problem:
        raise StateError(
            f"cannot listen on {address.host}, port {address.port}: {problem.strerror or problem}",
            hint="name another port: `skillpm registry serve --port PORT`",
        ) from problem


def serve(service: Service, address: Address, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, then finish the requests that began, and return.

    Calls `ready` once requests are answered. Raises `StateError` if the address is in use.
    """
    start_logging(service.config.log_level)
    try:
        asyncio.run(_serve(service, address, ready))
    except FatalError as problem:
        raise StateError(f"the server cannot start: {problem}") from problem


async def _serve(service: Service, address: Address, ready: Callable[[], None]) -> None:
    server = Server(
        make_app(service, _lifespan(service)),
        address=address.host,
        port=address.port,
        interface=Interfaces.ASGI,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MS, max_buffer_size=HEADER_BYTES),
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    serving = loop.create_task(server.serve())
    waiting = loop.create_task(_wait_until_accepting(address))
    done, _ = await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if waiting in done:
        ready()
    else:
        waiting.cancel()
    await serving


async def _wait_until_accepting(address: Address) -> None:
    """Return when `/healthz` answers."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
        except OSError:
            line = b""
        if b" 200 " in line:
            return
        await asyncio.sleep(0.02)


def _lifespan(service: Service) -> Lifespan:
    background = ServiceThreads(service)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        await asyncio.to_thread(write_documents, service)
        background.start()
        log("info", "started")
        yield
        await asyncio.to_thread(background.stop)
        await asyncio.to_thread(service.backend.close)
        log("info", "stopped")

    return lifespan
