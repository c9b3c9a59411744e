import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from thoroughness import stride

from skillpm.spec.digests import Digest
from skillpm_registry.backend import BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.publishing.collector import LEASE, REQUEST
from skillpm_registry.service import open_registry

LATER = datetime(2200, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 5, 17, tzinfo=UTC)
MakePack = Callable[..., Any]
MakeWorker = Callable[[], Any]


def check(folder: Path) -> list[str]:
    """The releases, after checking that every blob of the catalogue exists."""
    with closing(sqlite3.connect(folder / "registry.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        blobs = connection.execute("SELECT digest, size FROM blob").fetchall()
        parts = connection.execute("SELECT count(*) FROM release_blob").fetchone()[0]
    registry = open_registry(folder)
    for digest, size in blobs:
        with registry.open_blob(Digest(digest)) as source:
            data = source.read()
        assert (str(Digest.of(data)), len(data)) == (digest, size)
    listed = registry.releases(registry.skills())
    releases = [release.ref for group in listed.values() for release in group]
    assert parts == 2 * len(releases)
    return releases


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_kill_during_publish_leaves_a_valid_registry_and_a_repeat_completes(
    tmp_path: Path, make_pack: MakePack, make_worker: MakeWorker, step: int
) -> None:
    empty, worker = tmp_path / "empty", make_worker()
    open_registry(empty, create=True)
    pack = make_pack()
    saved = pack.save(tmp_path / "pack")
    outcomes = set()

    for point in range(1, 1999, step):
        folder = copytree(empty, tmp_path / f"registry{point}")
        worker.start("publish", folder, saved, kill=point)
        if worker.result() != "killed":
            break
        listed = check(folder)
        outcomes.add(tuple(listed))

        assert pack.publish(open_registry(folder)).created == (not listed)
        assert check(folder) == ["acme/math 1.0.0"]
        assert not list((folder / "tmp").iterdir())

    assert point > 50
    assert outcomes == {(), ("acme/math 1.0.0",)}


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_kill_during_a_sweep_loses_no_release_and_a_later_sweep_completes(
    tmp_path: Path, make_pack: MakePack, make_worker: MakeWorker, step: int
) -> None:
    full, worker, pack = tmp_path / "full", make_worker(), make_pack()
    pack.publish(open_registry(full, create=True))
    backend = open_backend(BackendPlaces.in_folder(full))
    garbage = b"garbage"
    backend.uploads.store(Digest.of(garbage), garbage, "acme", LOCAL, now=NOW)
    backend.close()
    later = LATER + LEASE + REQUEST + timedelta(seconds=1)

    for point in range(1, 9999, step):
        folder = copytree(full, tmp_path / f"registry{point}")
        worker.start("sweep", folder, kill=point)
        if worker.result() != "killed":
            break

        opened = open_backend(BackendPlaces.in_folder(folder))
        opened.collector.sweep(now=later, grace=timedelta(0))
        assert opened.blobs.size(Digest.of(garbage)) is None
        opened.uploads.store(Digest.of(garbage), garbage, "acme", LOCAL, now=later)
        opened.close()
        assert check(folder) == ["acme/math 1.0.0"]

    assert point > 50


def test_kill_during_creation_leaves_no_partial_registry(
    tmp_path: Path, make_worker: MakeWorker
) -> None:
    worker = make_worker()

    for point in range(1, 9999, stride(97, thorough=37)):
        folder = tmp_path / f"registry{point}"
        worker.start("create", folder, kill=point)
        if worker.result() != "killed":
            break

        open_registry(folder, create=True)
        assert check(folder) == []

    assert point > 50


@pytest.mark.parametrize("versions", [("1.0.0", "2.0.0"), ("1.0.0", "1.0.0")])
def test_concurrent_publishers_wait_for_each_other(
    tmp_path: Path, make_pack: MakePack, make_worker: MakeWorker, versions: tuple[str, ...]
) -> None:
    folder = tmp_path / "registry"
    open_registry(folder, create=True)
    workers = [make_worker() for _ in versions]
    results = []

    for turn in range(5):
        for position, (worker, version) in enumerate(zip(workers, versions, strict=True)):
            pack = make_pack(bytes(500_000), skill=f"acme/math{turn}", version=version)
            worker.start("publish", folder, pack.save(tmp_path / f"pack{turn}-{position}"))
        results.append(sorted(worker.result() for worker in workers))

    same = len(set(versions)) == 1
    assert results == [[f"created={not same}", "created=True"]] * 5
    assert len(check(folder)) == sum(len(set(versions)) for _ in results)


def test_concurrent_publish_of_two_packs_for_one_version_refuses_one(
    tmp_path: Path, make_pack: MakePack, make_worker: MakeWorker
) -> None:
    folder = tmp_path / "registry"
    open_registry(folder, create=True)
    workers = [make_worker(), make_worker()]

    for position, worker in enumerate(workers):
        pack = make_pack(bytes([position]) * 500_000)
        worker.start("publish", folder, pack.save(tmp_path / f"pack{position}"))
    results = sorted(worker.result() for worker in workers)

    assert results[0].startswith("ReleaseExistsError: `acme/math` 1.0.0 is already published")
    assert results[1] == "created=True"
    assert check(folder) == ["acme/math 1.0.0"]


def test_concurrent_creation_makes_one_registry(tmp_path: Path, make_worker: MakeWorker) -> None:
    workers = [make_worker(), make_worker()]
    for turn in range(5):
        for worker in workers:
            worker.start("create", tmp_path / f"registry{turn}")
        assert [worker.result() for worker in workers] == ["created", "created"]
        assert check(tmp_path / f"registry{turn}") == []
