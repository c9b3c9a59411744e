"""What reading costs a service, and how soon a release is visible.

    python -m benchmarks.registry.reading --documents 2000 --blob-mb 1000

Documents are read over one connection, one after the other, and then over 16: a server that
sleeps between two requests also pays for waking up. Starts `skillpm registry serve` on 127.0.0.1
with a registry in a temporary folder, and reads its processor time from /proc. What the idle server
spends in the same time (the sequencer) is measured first and subtracted. Linux only.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.registry.packs import tiny_pack
from skillpm_registry.service import open_registry

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "service")]

from live_server import Server, configured, initialized, running  # noqa: E402 - of the tests
from small_packs import small_pack  # noqa: E402

CONNECTIONS = 16
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Meter:
    """Processor time of a process beyond what it spends when it is idle."""

    pid: int
    idle: float = 0.0
    """Processor seconds per second."""

    def rest(self, seconds: float) -> None:
        """Measure the idle process."""
        self.idle = self.spent(lambda: time.sleep(seconds)) / seconds

    def spent(self, work: Callable[[], object]) -> float:
        """The processor seconds of some work."""
        begun, start = cpu_seconds(self.pid), time.monotonic()
        work()
        return cpu_seconds(self.pid) - begun - self.idle * (time.monotonic() - start)


def peak_mb(pid: int) -> float:
    """The largest resident set of a process so far, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def fill(folder: Path, size: int) -> str:
    """A registry with one release whose payload has `size` bytes. Returns the blob's path."""
    pack = tiny_pack("acme/math", "1.0.0", secrets.token_bytes(size))
    open_registry(folder).publish(pack.image, pack.open, now=datetime.now(UTC))
    digest = list(pack.blobs)[1]
    return f"/blobs/sha256/{digest.hex[:2]}/{digest.hex}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--blob-mb", type=int, default=500)
    parser.add_argument("--rest", type=float, default=10.0, help="Seconds to measure idling.")
    parser.add_argument("--reads", type=int, default=10, help="How often the blob is read.")
    parser.add_argument("--publishes", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = configured(folder / "registry")
        token = initialized(arguments)
        blob = fill(folder / "registry", asked.blob_mb * 1_000_000)
        with running(folder / "server", *arguments) as server:
            measure(server, blob, asked)
            seconds = sorted(visible(server, token, number) for number in range(asked.publishes))
            middle = statistics.median(seconds)
            print(f"publish to visible: {middle:.2f} s, longest {seconds[-1]:.2f} s")


def measure(server: Server, blob: str, asked: argparse.Namespace) -> None:
    """Print what documents and the blob cost."""
    assert server.process is not None
    pid, document = server.process.pid, "/index/acme/math.json"
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        while client.get(document).status_code != httpx.codes.OK:
            time.sleep(0.1)
        meter = Meter(pid)
        meter.rest(asked.rest)
        print(f"idle: {1000 * meter.idle:.1f} ms of processor time per second")
        for headers, what in (({}, "index read"), (_etag(client, document), "index 304")):
            for connections in (1, CONNECTIONS):
                work = partial(_read, server.url, document, headers, asked.documents, connections)
                spent = 1e6 * meter.spent(work) / asked.documents
                print(f"{what}, {connections} connections: {spent:.0f} µs of processor time")
        spent = meter.spent(partial(_download, client, blob, asked.reads))
    total = asked.reads * asked.blob_mb * 1_000_000
    print(f"blob: {1e9 * spent / total:.2f} s of processor time per GB")
    print(f"largest resident set: {peak_mb(pid):.0f} MB")


def visible(server: Server, token: str, number: int) -> float:
    """Seconds from the request that publishes a release until another client reads it."""
    publisher, reader = server.client(token), server.client()
    pack = small_pack("acme/seen", f"1.{number}.0")
    for digest, data in pack.blobs.items():
        publisher.upload(data, digest, "acme")
    start = time.monotonic()
    publisher.release(pack.image)
    while f'"1.{number}.0"' not in reader.http.get("/index/acme/seen.json").text:
        time.sleep(0.01)
    return time.monotonic() - start


def _read(url: str, path: str, headers: dict[str, str], count: int, connections: int) -> None:
    """Read a document `count` times over these connections together."""

    async def read_all() -> None:
        address = urlsplit(url)
        each = count // connections
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            *(": ".join(h) for h in headers.items()),
        ]
        request = "\r\n".join([*lines, "", ""]).encode()
        await asyncio.gather(
            *(_read_over(address.hostname, address.port, request, each) for _ in range(connections))
        )

    asyncio.run(read_all())


async def _read_over(host: str | None, port: int | None, request: bytes, count: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for _ in range(count):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = head.partition(b"content-length:")[2].split()
        await reader.readexactly(int(size[0]) if size and b" 304 " not in head[:16] else 0)
        assert head[9:12] in (b"200", b"304"), head
    writer.close()


def _download(client: httpx.Client, path: str, count: int) -> None:
    for _ in range(count):
        with client.stream("GET", path) as response:
            for _chunk in response.iter_raw():
                pass


def _etag(client: httpx.Client, path: str) -> dict[str, str]:
    return {"if-none-match": client.get(path).headers["etag"]}


if __name__ == "__main__":
    main()
