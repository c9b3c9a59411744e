"""Registry figure 5: bytes that are sent twice when an upload and a download are cut 20 times.

`python -m benchmarks.registry.transfers [--size 2000] [--cuts 20] [--rate 200]`

A blob of `--size` MB goes to a real server, `skillpm registry serve`, and back to a store, through
a proxy that counts bytes and passes on `--rate` MB per second, like a network. At evenly spaced
numbers of bytes, the client or the server is killed with SIGKILL, in turn, and started again. The
clients are `transfer_client.py`: the classes that `publish` and `install` use.

What a cut costs does not depend on the size of the blob, so a smaller one shows it too. The exit
code is 1 if 20 such cuts send more than 1 % of 2 GB twice in either direction.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tools.table import Table, add_output, publish

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "service")]

from cutting_proxy import CuttingProxy, proxying  # noqa: E402 - the tests own the server
from live_server import Server, configured, initialized, running  # noqa: E402
from small_packs import SmallPack, small_pack  # noqa: E402

from skillpm.spec.digests import Digest  # noqa: E402

LIMIT, CUTS, SIZE = 0.01, 20, 2e9
_POLL = 0.002


@dataclass(frozen=True)
class Blob:
    """The blob that is moved: its digest, its size, and a file with its bytes."""

    digest: Digest
    size: int
    path: Path


@dataclass(frozen=True)
class Moved:
    """The bytes that passed the proxy in the direction of the blob, and the seconds."""

    passed: int
    seconds: float


@dataclass(frozen=True)
class Course:
    """A server behind a proxy, the token of its client, and how often a transfer is cut."""

    server: Server
    proxy: CuttingProxy
    token: str
    folder: Path
    cuts: int

    def start(self, verb: str, blob: Blob) -> "subprocess.Popen[bytes]":
        """Start a client that uploads or downloads the blob."""
        command = [sys.executable, "-m", "benchmarks.registry.transfer_client", verb,
                   self.proxy.url, str(blob.digest), str(blob.size), str(blob.path),
                   str(self.folder / "home")]  # fmt: skip
        return subprocess.Popen(command, env={**os.environ, "SKILLPM_TOKEN": self.token})


def move(verb: str, blob: Blob, course: Course) -> Moved:
    """Upload or download the blob; kill the client and the server in turn."""
    server, proxy, cuts = course.server, course.proxy, course.cuts
    began, kills = time.monotonic(), 0
    client = course.start(verb, blob)
    proxy.sent = proxy.received = 0
    while client.poll() is None or client.returncode != 0:
        passed = proxy.sent if verb == "upload" else proxy.received
        if client.poll() is not None:
            sys.exit(f"the {verb} ended with exit code {client.returncode}")
        if kills < cuts and passed > (kills + 1) * blob.size / (cuts + 1):
            kills += 1
            if kills % 2:
                client.kill()
                client.wait()
                client = course.start(verb, blob)
            else:
                server.kill()
                proxy.target = server.start().url
        time.sleep(_POLL)
    if kills < cuts:
        sys.exit(f"the {verb} was cut {kills} times instead of {cuts}; use a larger blob")
    passed = proxy.sent if verb == "upload" else proxy.received
    return Moved(passed, time.monotonic() - began)


def make_blob(folder: Path, size: int) -> tuple[SmallPack, Blob]:
    """A pack whose payload has about `size` random bytes, and the payload in a file."""
    pack = small_pack("acme/large", data=os.urandom(size))
    digest, data = max(pack.blobs.items(), key=lambda item: len(item[1]))
    path = folder / "blob"
    path.write_bytes(data)
    return pack, Blob(digest, len(data), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2000, help="megabytes of the blob")
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--rate", type=int, default=200, help="megabytes per second")
    add_output(parser)
    asked = parser.parse_args()
    table = Table(f"{asked.size} MB, cut {asked.cuts} times, {asked.rate} MB/s",
                  ("direction", "sent twice", "for each cut", "20 cuts of 2 GB", "seconds"),
    )  # fmt: skip
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
        folder = Path(name)
        pack, blob = make_blob(folder, asked.size * 1_000_000)
        arguments = configured(folder / "registry")
        token = initialized(arguments)
        with running(folder / "server", *arguments) as server, proxying(server.url) as proxy:
            proxy.rate = asked.rate * 1e6
            server.client(token).namespace("acme")
            course = Course(server, proxy, token, folder, asked.cuts)
            for verb in ("upload", "download"):
                moved = move(verb, blob, course)
                twice = moved.passed - blob.size
                share = CUTS * twice / asked.cuts / SIZE
                worst = max(worst, share)
                table.row(verb, f"{twice / 1e6:.1f} MB", f"{twice / asked.cuts / 1e6:.2f} MB",
                          f"{share:.2%}", f"{moved.seconds:.0f}")  # fmt: skip
                if verb == "upload":
                    server.client(token).publish(pack)
    publish(table, asked.append)
    sys.exit(1 if worst > LIMIT else 0)


if __name__ == "__main__":
    main()
