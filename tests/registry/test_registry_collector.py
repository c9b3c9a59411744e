"""Garbage collection beside publishers, on both databases."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from skillpm.spec.digests import Digest
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.db.disk import locked
from skillpm_registry.publishing.collector import LEASE, REQUEST
from skillpm_registry.publishing.garbage import Lease
from skillpm_registry.refusals import (
    BlobBusyError,
    BlobsNotLiveError,
    BlobStoreError,
    UnknownUploadError,
    UploadLostError,
    UploadOffsetError,
)

MakePack = Callable[..., Any]
NONE = timedelta(0)
DAY = timedelta(days=1)
DATA = b"garbage"
AGAIN = (BlobsNotLiveError, BlobBusyError, UploadOffsetError, UnknownUploadError, UploadLostError)
"""Errors after which a client begins again. Workers with the same account share upload sessions."""
DIGEST = Digest.of(DATA)


def store(backend: Backend, now: datetime, data: bytes = DATA) -> None:
    backend.uploads.store(Digest.of(data), data, "acme", LOCAL, now=now)


def rows(backend: Backend) -> dict[str, str]:
    with backend.database.reading() as connection:
        found = connection.exec_driver_sql("SELECT digest, state FROM blob ORDER BY digest")
        return {row.digest: row.state for row in found}


def dangling(backend: Backend) -> list[str]:
    """The blobs of releases that have no live row or no object."""
    query = (
        "SELECT digest FROM release_blob UNION SELECT digest FROM release "
        "EXCEPT SELECT digest FROM blob WHERE state = 'live'"
    )
    with backend.database.reading() as connection:
        rowless = list(connection.exec_driver_sql(query).scalars())
        named = connection.exec_driver_sql(
            "SELECT digest FROM release_blob UNION SELECT digest FROM release"
        )
        digests = list(named.scalars())
    return rowless + [each for each in digests if backend.blobs.size(Digest(each)) is None]


def test_blob_without_a_release_is_removed_after_the_grace_period(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish_to(backend)
    store(backend, now)
    kept = rows(backend)

    assert backend.collector.sweep(now=now + timedelta(hours=23)).blobs == 0
    assert rows(backend) == kept
    report = backend.collector.sweep(now=now + timedelta(hours=25))

    assert (report.blobs, report.bytes, report.skipped) == (1, len(DATA), False)
    assert set(kept) - set(rows(backend)) == {str(DIGEST)}
    assert backend.blobs.size(DIGEST) is None
    assert dangling(backend) == []
    assert len(list(backend.blobs.blobs())) == len(kept) - 1


def test_blob_that_is_asked_for_begins_its_grace_period_again(
    backend: Backend, now: datetime
) -> None:
    store(backend, now)
    assert backend.uploads.begin(DIGEST, len(DATA), "acme", LOCAL, now=now + DAY) is None

    assert backend.collector.sweep(now=now + DAY + timedelta(hours=23)).blobs == 0


def test_session_keeps_its_blob_until_it_expires(backend: Backend, now: datetime) -> None:
    other = b"unfinished"
    session = backend.uploads.begin(Digest.of(other), len(other), "acme", LOCAL, now=now)
    assert session is not None
    backend.uploads.append(session.id, 0, other, LOCAL, now=now)
    backend.blobs.finish(session.id, session.digest, session.size)  # Then the server is killed.
    later = datetime.now(UTC) + DAY

    assert backend.collector.sweep(now=now + timedelta(days=6)).uploads == 0
    assert backend.blobs.size(Digest.of(other)) == len(other)
    report = backend.collector.sweep(now=later + timedelta(days=8))

    assert (report.uploads, report.blobs) == (1, 1)
    assert backend.blobs.size(Digest.of(other)) is None


def test_object_without_a_row_is_removed(backend: Backend, now: datetime) -> None:
    backend.blobs.put(DIGEST, len(DATA), BytesIO(DATA))
    moment = datetime.now(UTC)

    assert backend.collector.sweep(now=moment).blobs == 0
    assert backend.collector.sweep(now=moment + 2 * DAY).blobs == 1

    assert backend.blobs.size(DIGEST) is None
    assert rows(backend) == {}


def test_bytes_without_a_session_are_removed(backend: Backend, now: datetime) -> None:
    backend.blobs.append("ab" * 16, 0, b"lost")

    backend.collector.sweep(now=now)

    assert list(backend.blobs.sessions()) == []


def test_unfinished_files_are_removed_unless_a_writer_is_at_work(
    backend: Backend, places: BackendPlaces, now: datetime
) -> None:
    leftover = Path(places.blobs) / "tmp" / f"{DIGEST.hex}.{'0' * 16}"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")

    with locked(Path(places.blobs), 1, shared=True):
        assert backend.collector.sweep(now=now).uploads == 0
    assert leftover.exists()
    assert backend.collector.sweep(now=now).uploads == 1

    assert not leftover.exists()


def test_one_collector_runs_at_a_time(backend: Backend, now: datetime) -> None:
    other = Lease(backend.database, "other", LEASE)
    assert other.take(now)

    assert backend.collector.sweep(now=now).skipped
    assert not backend.collector.sweep(now=now + LEASE + timedelta(seconds=1)).skipped
    other.release()
    assert not backend.collector.sweep(now=now).skipped


def test_marked_blob_of_a_killed_collector_is_taken_over_late(
    backend: Backend, now: datetime
) -> None:
    store(backend, now)
    marked = backend.collector._garbage.mark("", untouched_since=now, now=now + DAY)
    assert [found.digest for found in marked] == [DIGEST]
    assert rows(backend) == {str(DIGEST): "deleting"}
    with pytest.raises(BlobBusyError):
        store(backend, now + DAY)

    early = backend.collector.sweep(now=now + DAY + LEASE)
    late = backend.collector.sweep(now=now + DAY + LEASE + REQUEST + timedelta(seconds=1))

    assert (early.blobs, late.blobs) == (0, 1)
    store(backend, now + 2 * DAY)
    assert backend.blobs.size(DIGEST) == len(DATA)


def test_blob_whose_object_cannot_be_deleted_stays_marked(
    backend: Backend, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(backend, now)

    def fail(*_arguments: object) -> None:
        raise BlobStoreError("store", "it is gone")

    with monkeypatch.context() as broken:
        broken.setattr(type(backend.blobs), "delete", fail)
        assert backend.collector.sweep(now=now + 2 * DAY).blobs == 0

    assert rows(backend) == {str(DIGEST): "deleting"}
    assert backend.collector.sweep(now=now + 3 * DAY).blobs == 1


def publish(backend: Backend, pack: Any, deadline: float) -> bool:
    """Publish as clients do: upload again what the registry lacks."""
    while time.monotonic() < deadline:
        try:
            pack.publish_to(backend, now=datetime.now(UTC))
        except AGAIN:
            time.sleep(0.01)
        else:
            return True
    return False


def test_collector_without_grace_loses_no_blob_of_a_publisher(
    places: BackendPlaces, backend: Backend, make_pack: MakePack
) -> None:
    stop, deadline = threading.Event(), time.monotonic() + 240
    published: list[bool] = []

    def work(worker: int) -> None:
        chance = random.Random(worker)
        for number in range(6):
            # Workers share payloads, so that one needs what another has left as garbage.
            payload = bytes([chance.randrange(3)])
            pack = make_pack(payload, skill=f"acme/s{worker}", version=f"1.{number}.0")
            published.append(publish(backend, pack, deadline))

    def collect() -> None:
        other = open_backend(places)
        while not stop.is_set():
            other.collector.sweep(now=datetime.now(UTC), grace=NONE)
            store(other, datetime.now(UTC))
        other.close()

    collector = threading.Thread(target=collect)
    collector.start()
    workers = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    collector.join()

    assert all(published)
    assert len(published) == 24
    assert dangling(backend) == []
