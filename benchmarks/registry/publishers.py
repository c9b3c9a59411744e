"""Figure 1: many publishers on PostgreSQL and S3, while the server is killed at random.

`python -m benchmarks.registry.publishers [--publishers 100] [--minutes 10] [--kills 50]
[--store ceph|moto|folder] [--ready 2000] [--sqlite]`

Starts PostgreSQL, Ceph's radosgw (or moto, or a folder) and `skillpm registry serve` on 127.0.0.1.
First, the publishers publish `--ready` releases whose blobs are there already: publishes a second,
each with its position and its rendered document, and the processor time of all processes, also of
the publishers. Two cores have 2,000 ms a second, which bounds the rate. Then they upload and
publish for `--minutes` of a running server, which is killed with SIGKILL `--kills` times in
between.

The exit code is 1 if then a release lacks a blob, an acknowledged release is gone, the positions of
the log have a gap, or a document lacks a release.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from benchmarks.registry.garbage import dangling
from benchmarks.registry.publisher_crowd import NAMESPACE, Crowd, pack_of
from benchmarks.registry.reading import cpu_seconds
from benchmarks.tools.table import Table, add_output, publish
from skillpm.spec.names import SkillName
from skillpm.spec.served import parse_index_document
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "service"), str(TESTS / "registry")]

from ceph import ceph  # noqa: E402 - the tests own the services
from live_server import Server, configured, initialized, running  # noqa: E402
from services import BUCKET, KEY, PostgresServer, make_bucket, moto, postgres  # noqa: E402

_TICKS = os.sysconf("SC_CLK_TCK")
HEADINGS = (
    "part", "publishes", "a second", "server ms", "database ms", "store ms", "client ms", "all ms",
    "kills", "repeated",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """The services, and where the registry is."""

    server: Server
    token: str
    places: BackendPlaces
    cluster: PostgresServer | None

    def spent(self) -> "SpentTime":
        """The processor time of all processes so far; of the server, that of the one that runs."""
        assert self.server.process is not None
        server, database, main = self.server.process.pid, 0.0, None
        if self.cluster is not None:
            main = int((self.cluster.folder / "data/postmaster.pid").read_text().split()[0])
            # With the time of ended processes, which a process waits for.
            ended = Path(f"/proc/{main}/stat").read_text().rpartition(")")[2].split()
            database = (int(ended[13]) + int(ended[14])) / _TICKS
            database += _alive(descendants(main, without=()))
        store = descendants(os.getpid(), without=(server, main))[1:]
        return SpentTime(cpu_seconds(server), database, _alive(store), time.process_time())


class SpentTime(NamedTuple):
    """Processor seconds of the server, of PostgreSQL, of the store of blobs, and of this process.

    This process has the publishers.
    """

    server: float
    database: float
    store: float
    client: float


def descendants(pid: int, *, without: Collection[int | None]) -> list[int]:
    """A process and all processes that it has started, except some with theirs."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):  # It has ended meanwhile.
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                if child not in without:
                    found += descendants(child, without=without)
    return found


def _alive(pids: list[int]) -> float:
    """The processor time of those of these processes that have not ended."""
    seconds = 0.0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            seconds += cpu_seconds(pid)
    return seconds


def kill_at_random(
    bench: Bench, asked: argparse.Namespace, stop: threading.Event, spent: list[float]
) -> None:
    """Let the server run for the minutes in all; kill it at random times, and start it again.

    Sets `stop` at the end, also if the server does not start. `spent` gets the processor time of
    each killed server.
    """
    chance, seconds = random.Random(1), 60 * asked.minutes
    moments = [0.0, *sorted(chance.uniform(0, seconds) for _ in range(asked.kills)), seconds]
    try:
        for number, (before, moment) in enumerate(pairwise(moments)):
            time.sleep(moment - before)
            if number < asked.kills:
                spent.append(bench.spent().server)
                bench.server.kill()
                bench.server.start()
    finally:
        stop.set()


@contextmanager
def started(asked: argparse.Namespace, folder: Path) -> Iterator[Bench]:
    """Start the services and the server."""
    with ExitStack() as services:
        cluster = None if asked.sqlite else services.enter_context(postgres())
        database = f"sqlite:///{folder}/registry/registry.db"
        if cluster is not None:
            database = cluster.new_database()
        arguments = configured(folder / "registry", database)
        blobs = str(folder / "registry")
        if asked.store != "folder":
            address = services.enter_context((ceph if asked.store == "ceph" else moto)())
            make_bucket(address)
            os.environ.update(
                AWS_ENDPOINT_URL=address, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=KEY,
                AWS_REGION="us-east-1",
            )  # fmt: skip
            file, blobs = Path(arguments[1]), f"s3://{BUCKET}/bench"
            file.write_text(
                file.read_text().replace(f'blobs = "{folder}/registry"', f'blobs = "{blobs}"')
            )
        token = initialized(arguments)
        places = BackendPlaces(database, blobs, str(folder / "registry/public"))
        with running(folder / "server", *arguments) as server:
            server.client(token).namespace(NAMESPACE)
            yield Bench(server, token, places, cluster)


def prepare(places: BackendPlaces, publishers: int, each: int) -> None:
    """Store the blobs of packs that are published later."""
    backend, now = open_backend(places), datetime.now(UTC)
    for publisher in range(publishers):
        for number in range(each):
            for digest, data in pack_of(publisher, number, "ready").blobs.items():
                backend.uploads.store(digest, data, NAMESPACE, LOCAL, now=now)
    backend.close()


def problems_of(backend: Backend, acknowledged: dict[tuple[str, str], str]) -> list[str]:
    """What is wrong with the registry after all."""
    while any(astuple(backend.sequencer.step(now=datetime.now(UTC)))):
        pass
    found = [f"{count} dangling blobs"] if (count := dangling(backend)) else []
    with backend.database.reading() as connection:
        rows = connection.execute(text(
            "SELECT namespace, name, version, digest FROM release JOIN skill "
            "ON skill.id = release.skill_id"))  # fmt: skip
        stored = {(f"{row[0]}/{row[1]}", row[2]): row[3] for row in rows}
        query = "SELECT position FROM log_leaf WHERE log = 'public' ORDER BY position"
        positions = list(connection.execute(text(query)).scalars())
        head = connection.scalar(text("SELECT size FROM log_head WHERE log = 'public'"))
    lost = [key for key, digest in acknowledged.items() if stored.get(key) != digest]
    if lost:
        found.append(f"{len(lost)} acknowledged releases are lost, such as {lost[0]}")
    if positions != list(range(len(stored))) or head != len(stored):
        found.append(f"{len(positions)} positions of {len(stored)} releases, head {head}")
    return found + missing_documents(backend, stored)


def missing_documents(backend: Backend, stored: dict[tuple[str, str], str]) -> list[str]:
    """Releases that are not in the documents of the static tree."""
    shown = set[tuple[str, str]]()
    for skill in {skill for skill, _ in stored}:
        name = SkillName.parse(skill)
        data = backend.tree.get(f"index/{name}.json") or b""
        releases = parse_index_document(data).releases if data else ()
        shown |= {(skill, str(release.version)) for release in releases}
    missing = set(stored) - shown
    return [f"{len(missing)} releases are in no document"] if missing else []


def measure(bench: Bench, asked: argparse.Namespace, table: Table) -> dict[tuple[str, str], str]:
    """Run both parts, and add their rows. Returns what was acknowledged."""
    crowd = Crowd(bench.server, bench.token, asked.publishers)
    each = max(1, asked.ready // asked.publishers)
    prepare(bench.places, asked.publishers, each)

    def row(name: str, kills: int, ended: list[float], work: Callable[[], int]) -> None:
        before, repeated, start = bench.spent(), crowd.repeated, time.monotonic()
        count = work()
        seconds = time.monotonic() - start
        costs = [after - earlier for after, earlier in zip(bench.spent(), before, strict=True)]
        costs[0] += sum(ended)
        shown = (f"{1000 * cost / count:.1f}" for cost in (*costs, sum(costs)))
        table.row(name, f"{count:,}", f"{count / seconds:.0f}", *shown, kills,
                  crowd.repeated - repeated)  # fmt: skip

    never, stop, spent = threading.Event(), threading.Event(), list[float]()
    row("blobs are there", 0, [], lambda: crowd.run(never, "ready", each, uploads=False))
    killer = threading.Thread(target=kill_at_random, args=(bench, asked, stop, spent))
    killer.start()
    row("with uploads", asked.kills, spent,
        lambda: crowd.run(stop, "new", sys.maxsize, uploads=True))  # fmt: skip
    killer.join()
    return crowd.acknowledged


def main() -> None:
    """Measure, check, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publishers", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--ready", type=int, default=2000)
    best = "ceph" if shutil.which("radosgw") else "moto"
    parser.add_argument("--store", choices=("ceph", "moto", "folder"), default=best)
    parser.add_argument("--sqlite", action="store_true", help="instead of PostgreSQL")
    add_output(parser)
    asked = parser.parse_args()
    name = f"{'SQLite' if asked.sqlite else 'PostgreSQL'} and {asked.store}"
    table = Table(f"{asked.publishers} publishers on {name}", HEADINGS)
    with (
        tempfile.TemporaryDirectory(prefix="skillpm-bench-") as folder,
        started(asked, Path(folder)) as bench,
    ):
        acknowledged = measure(bench, asked, table)
        bench.server.stop()
        backend = open_backend(bench.places)
        problems = problems_of(backend, acknowledged)
        backend.close()
    publish(table, asked.append)
    print(*problems or ["nothing is lost, no blob dangles, the positions have no gap"], sep="\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
