"""Figure 2: garbage collection without a grace period beside publishers.

`python -m benchmarks.registry.garbage [--minutes 10] [--publishers 16] [--postgres [URL]]`. Each
publisher is a process that publishes packs with shared payloads, and uploads again what is gone.
No release may lack a blob at the end. SQLite is used without `--postgres`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, text

from benchmarks.registry.own_postgres import add_postgres, database_url
from benchmarks.registry.packs import TinyPack, tiny_pack
from benchmarks.tools.table import Table, add_output, publish
from skillpm.spec.digests import Digest
from skillpm_registry import tables
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.refusals import (
    BlobBusyError,
    BlobsNotLiveError,
    UnknownUploadError,
    UploadOffsetError,
)

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

NAMESPACE = "bench"
PAYLOADS = 50
AGAIN = (BlobsNotLiveError, BlobBusyError, UploadOffsetError, UnknownUploadError)
"""Errors after which a client begins again. Publishers of one account share upload sessions."""
NEEDED = "SELECT digest FROM release_blob UNION SELECT digest FROM release"
HEADINGS = ("database", "publishes", "a second", "again", "collected", "dangling")


def upload_and_publish(backend: Backend, pack: TinyPack) -> int:
    """Publish as clients do. Returns how often blobs had to be uploaded again."""
    again = 0
    while True:
        try:
            now = datetime.now(UTC)
            for digest, data in pack.blobs.items():
                session = backend.uploads.begin(digest, len(data), NAMESPACE, LOCAL, now=now)
                if session is not None:
                    start = session.received  # Another publisher may have begun this session.
                    if start < len(data):
                        backend.uploads.append(session.id, start, data[start:], LOCAL, now=now)
                    backend.uploads.finish(session.id, LOCAL, now=now)
            backend.publisher.publish(pack.image, LOCAL, now=now)
        except AGAIN:
            again += 1
            time.sleep(0.005)
        else:
            return again


def work(places: BackendPlaces, worker: int, end: float, results: Queue[tuple[int, int]]) -> None:
    """Publish until the time is over."""
    backend, chance, published, again = open_backend(places), random.Random(worker), 0, 0
    while time.time() < end:
        payload = bytes([chance.randrange(PAYLOADS)]) * 1000
        pack = tiny_pack(f"{NAMESPACE}/s{worker}-{published % 20}", f"1.{published}.0", payload)
        again += upload_and_publish(backend, pack)
        published += 1
    results.put((published, again))
    backend.close()


def dangling(backend: Backend) -> int:
    """How many blobs of releases have no live row or no object."""
    with backend.database.reading() as connection:
        live = "SELECT digest FROM blob WHERE state = 'live'"
        rows = connection.execute(text(f"{NEEDED} EXCEPT {live}")).all()
        digests = connection.scalars(text(NEEDED)).all()
    return len(rows) + sum(backend.blobs.size(Digest(digest)) is None for digest in digests)


def measure(places: BackendPlaces, minutes: float, publishers: int) -> tuple[int, int, int, int]:
    """The numbers of publishes, repeated uploads, collected blobs, and dangling blobs."""
    backend = open_backend(places, create=True)
    with backend.database.writing() as connection:
        row = {"name": NAMESPACE, "created_at": datetime.now(UTC)}
        connection.execute(insert(tables.namespace), [row])
    spawn, end = get_context("spawn"), time.time() + 60 * minutes
    results: Queue[tuple[int, int]] = spawn.Queue()
    workers = [
        spawn.Process(target=work, args=(places, number, end, results))
        for number in range(publishers)
    ]
    for worker in workers:
        worker.start()
    collected = 0
    while time.time() < end:
        collected += backend.collector.sweep(now=datetime.now(UTC), grace=timedelta(0)).blobs
        time.sleep(0.05)
    done = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    found = dangling(backend)
    backend.close()
    return sum(one[0] for one in done), sum(one[1] for one in done), collected, found


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--publishers", type=int, default=16)
    add_postgres(parser)
    add_output(parser)
    arguments = parser.parse_args()
    table = Table(f"Collecting beside {arguments.publishers} publishers", HEADINGS)
    with tempfile.TemporaryDirectory() as folder, database_url(arguments.postgres) as url:
        places = BackendPlaces.in_folder(Path(folder) / "registry")
        if url:
            places = BackendPlaces(url, folder, f"{folder}/public")
        published, again, collected, found = measure(
            places, arguments.minutes, arguments.publishers
        )
    name = "PostgreSQL" if arguments.postgres else "SQLite"
    rate = published / arguments.minutes / 60
    table.row(name, published, f"{rate:.1f}", again, collected, found)
    publish(table, arguments.append)
    assert found == 0


if __name__ == "__main__":
    main()
