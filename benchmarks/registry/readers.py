"""Figure 3: what an index read through nginx costs, and many readers at the same time.

`python -m benchmarks.registry.readers [--readers 1000] [--requests 20] [--skills 200]`

Starts `skillpm registry serve` behind nginx with the configuration of docs/deploy, on 127.0.0.1.
All readers connect first; then each reads documents over its connection, without a pause. The exit
code is 1 if an answer is no 200 with the bytes of the document, or a connection fails. Linux only.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.registry.reading import cpu_seconds
from benchmarks.tools.table import Table, add_output, publish

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "service")]

from nginx_site import Site, nginx_site  # noqa: E402 - the tests own the server
from small_packs import small_pack  # noqa: E402

_TIMEOUT = 300.0


@dataclass
class Answers:
    """What the readers got: the number of documents, and errors by their text."""

    documents: dict[str, bytes]
    right: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def fail(self, text: str) -> None:
        """Count an error."""
        self.errors[text] = self.errors.get(text, 0) + 1


async def read(number: int, address: tuple[str, int], ready: asyncio.Barrier, count: int,
               answers: Answers) -> None:  # fmt: skip
    """A reader: connect, wait for the others, then read documents."""
    paths, writer = list(answers.documents), None
    try:
        reader, writer = await asyncio.open_connection(*address)
        await ready.wait()
        for step in range(count):
            path = paths[(number + step) % len(paths)]
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].split()[0])
            body = await reader.readexactly(size)
            if head.startswith(b"http/1.1 200 ") and body == answers.documents[path]:
                answers.right += 1
            else:
                answers.fail(head.split(b"\r\n")[0].decode())
    except (OSError, EOFError, ValueError, IndexError, asyncio.IncompleteReadError) as problem:
        answers.fail(type(problem).__name__)
        await ready.abort()
    except asyncio.BrokenBarrierError:
        answers.fail("another reader could not connect")
    finally:
        if writer is not None:
            writer.close()


async def read_all(site: Site, readers: int, count: int, answers: Answers) -> None:
    """Run all readers."""
    parts = urlsplit(site.url)
    address, ready = (parts.hostname or "", parts.port or 80), asyncio.Barrier(readers)
    async with asyncio.timeout(_TIMEOUT):
        await asyncio.gather(
            *(read(number, address, ready, count, answers) for number in range(readers))
        )


def workers(site: Site) -> list[int]:
    """The processes of nginx."""
    main = site.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    return [main, *map(int, children)]


def fill(site: Site, skills: int) -> dict[str, bytes]:
    """Publish skills. Returns their documents by path."""
    site.admin.namespace("acme")
    for number in range(skills):
        site.admin.publish(small_pack(f"acme/skill{number}"))
    paths = [f"/index/acme/skill{number}.json" for number in range(skills)]
    return {path: site.anybody.http.get(path).content for path in paths}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=20, help="of each reader")
    parser.add_argument("--skills", type=int, default=200)
    add_output(parser)
    asked = parser.parse_args()
    files = 2 * asked.readers + 256
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit[0], files), max(limit[1], files)))
    with (
        tempfile.TemporaryDirectory(prefix="skillpm-bench-") as folder,
        nginx_site(Path(folder), connections=asked.readers + 256) as site,
    ):
        answers = Answers(fill(site, asked.skills))
        before, start = sum(map(cpu_seconds, workers(site))), time.monotonic()
        asyncio.run(read_all(site, asked.readers, asked.requests, answers))
        seconds = time.monotonic() - start
        spent = sum(map(cpu_seconds, workers(site))) - before
    table = Table("Index documents through nginx",
                  ("readers", "reads", "a second", "nginx µs a read", "errors"))  # fmt: skip
    cost = 1e6 * spent / max(1, answers.right)
    table.row(asked.readers, f"{answers.right:,}", f"{answers.right / seconds:,.0f}",
              f"{cost:.0f}", sum(answers.errors.values()))  # fmt: skip
    publish(table, asked.append)
    for text, count in answers.errors.items():
        print(f"{count}: {text}")
    sys.exit(1 if answers.errors else 0)


if __name__ == "__main__":
    main()
