"""Old registries: used as they are until they are upgraded, and moved to another database."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from alembic import command
from services import PostgresServer

from skillpm.errors import IntegrityError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import ANONYMOUS, LOCAL
from skillpm_registry.db.migrate import alembic_config
from skillpm_registry.db.schema import HEAD, open_database, revision
from skillpm_registry.errors import RegistryBusyError
from skillpm_registry.moving import TargetNotEmptyError, move_registry
from skillpm_registry.publishing import local
from skillpm_registry.refusals import RegistryOutdatedError
from skillpm_registry.service import Registry, open_registry

MakePack = Callable[..., Any]
MATH = SkillName("acme", "math")
ONE = Version.parse("1.0.0")


@pytest.fixture
def old(folder: Path) -> Registry:
    """An empty registry with the schema of older versions of skillpm."""
    open_registry(folder, create=True)
    with open_database(folder, 1).writing() as connection:
        command.downgrade(alembic_config(connection), "0002")
    return open_registry(folder, timeout=0.2)


def schema(folder: Path) -> str:
    return revision(open_database(folder, 1))


def upgraded(folder: Path) -> Backend:
    return open_backend(BackendPlaces.in_folder(folder), upgrade=True)


def test_old_registry_is_used_without_an_upgrade(
    old: Registry, folder: Path, make_pack: MakePack, now: datetime
) -> None:
    pack = make_pack()

    assert pack.publish(old).created
    assert not pack.publish(old).created
    old.yank(MATH, ONE, reason="adds wrongly", now=now)
    assert old.releases([MATH])[MATH][0].yank_reason == "adds wrongly"
    old.unyank(MATH, ONE)
    assert [release.ref for release in old.search("math")] == ["acme/math 1.0.0"]

    assert schema(folder) == "0002"
    with pytest.raises(RegistryOutdatedError) as refused:
        open_backend(BackendPlaces.in_folder(folder))
    assert "skillpm registry upgrade" in (refused.value.hint or "")


def test_upgrade_keeps_releases_and_adds_what_a_server_needs(
    old: Registry, folder: Path, make_pack: MakePack, now: datetime
) -> None:
    make_pack(requires=["acme/numbers ^1"]).publish(old)
    make_pack(version="2.0.0").publish(old)
    old.yank(MATH, ONE, reason="adds wrongly", now=now)
    before = old.releases([MATH])

    backend = upgraded(folder)
    backend.sequencer.step(now=now)

    assert schema(folder) == HEAD
    assert open_registry(folder).releases([MATH]) == before
    found = backend.documents.find(MATH, ANONYMOUS)
    assert found is not None
    first, second = json.loads(found.body)["releases"]
    assert (first["state"], first["reason"]) == ("yanked", "adds wrongly")
    assert (first["requires"], first["position"]) == (["acme/numbers ^1"], 0)
    assert (second["state"], second["position"]) == ("live", 1)
    assert [each.version for each in backend.search.find("math", ANONYMOUS)] == ["2.0.0"]
    assert backend.collector.sweep(now=datetime.now(UTC) + timedelta(days=9)).blobs == 0
    backend.close()


def test_interrupted_upgrade_is_continued(
    old: Registry, folder: Path, make_pack: MakePack, now: datetime
) -> None:
    pack = make_pack()
    pack.publish(old)
    payload = folder / "blobs" / "sha256" / pack.digest.hex[:2] / pack.digest.hex
    kept = payload.read_bytes()
    payload.unlink()
    with pytest.raises(IntegrityError):
        upgraded(folder)
    payload.write_bytes(kept)

    backend = open_backend(BackendPlaces.in_folder(folder))
    assert backend.sequencer.step(now=now).documents == 1
    backend.close()


def test_registry_that_is_open_during_an_upgrade_uses_the_new_schema(
    old: Registry, folder: Path, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish(old)
    upgraded(folder).close()

    make_pack(version="2.0.0").publish(old)
    old.yank(MATH, ONE, reason="adds wrongly", now=now)

    backend = open_backend(BackendPlaces.in_folder(folder))
    backend.sequencer.step(now=now)
    assert [event.kind for event in backend.events.after(0, LOCAL)] == ["publish", "yank"]
    backend.close()


def publish_during_another(folder: Path, make_pack: MakePack) -> bool:
    """Publish a pack while another publisher reads its own."""
    slow, quick = make_pack(b"slow"), make_pack(b"quick", version="2.0.0")
    reading, go_on = threading.Event(), threading.Event()

    def open_slowly(digest: Digest) -> BinaryIO:
        if digest != next(iter(slow.blobs)):
            reading.set()
            go_on.wait(60)
        return io.BytesIO(slow.blobs[digest])

    other = open_registry(folder)
    thread = threading.Thread(
        target=lambda: other.publish(slow.image, open_slowly, now=datetime.now(UTC))
    )
    thread.start()
    reading.wait(60)
    try:
        return bool(quick.publish(open_registry(folder, timeout=0.2)).created)
    finally:
        go_on.set()
        thread.join()


def test_publishers_do_not_wait_while_another_reads(
    registry: Registry, folder: Path, make_pack: MakePack
) -> None:
    assert publish_during_another(folder, make_pack)

    assert len(registry.releases([MATH])[MATH]) == 2
    assert not list((folder / "tmp").iterdir())


def test_publishers_wait_in_an_old_registry(
    old: Registry, folder: Path, make_pack: MakePack
) -> None:
    with pytest.raises(RegistryBusyError):
        publish_during_another(folder, make_pack)

    assert len(old.releases([MATH])[MATH]) == 1


def test_publishers_wait_on_a_network_file_system(
    registry: Registry, folder: Path, make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "is_network_folder", lambda _folder: True)

    with pytest.raises(RegistryBusyError):
        publish_during_another(folder, make_pack)


@pytest.fixture
def target(postgres_server: PostgresServer, bucket: str) -> Iterator[Backend]:
    places = BackendPlaces(postgres_server.new_database("migrated"), bucket, f"{bucket}/public")
    opened = open_backend(places)
    yield opened
    opened.close()


@pytest.mark.services
def test_registry_moves_to_postgresql_and_a_bucket(
    registry: Registry, folder: Path, make_pack: MakePack, now: datetime, target: Backend
) -> None:
    packs = [make_pack(bytes([number]), version=f"1.{number}.0") for number in range(3)]
    for pack in packs:
        pack.publish(registry)
    registry.yank(MATH, ONE, reason="adds wrongly", now=now)
    source = open_backend(BackendPlaces.in_folder(folder))
    source.sequencer.step(now=now)
    done: list[tuple[int, int]] = []

    def stop_once(number: int, every: int) -> None:
        done.append((number, every))
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_registry(source, target, now=now, report=stop_once)
    assert target.catalog.skills() == []
    moved = move_registry(source, target, now=now)

    assert moved.blobs == 9 - 3
    assert target.catalog.releases([MATH]) == source.catalog.releases([MATH])
    target.sequencer.step(now=now)
    before, after = (each.documents.find(MATH, ANONYMOUS) for each in (source, target))
    assert before == after
    assert target.tree.get("index/acme/math.json") == (before and before.body)
    for pack in packs:
        with target.blobs.open(pack.digest) or io.BytesIO() as stored:
            assert stored.read() == pack.image
    assert target.events.after(0, LOCAL) == source.events.after(0, LOCAL)
    assert len(target.search.find("math", ANONYMOUS)) == 1
    assert make_pack(version="2.0.0").publish_to(target).created
    with pytest.raises(TargetNotEmptyError):
        move_registry(source, target, now=now)
    source.close()


def test_damaged_blob_stops_a_move(
    registry: Registry, folder: Path, make_pack: MakePack, now: datetime, tmp_path: Path
) -> None:
    pack = make_pack()
    pack.publish(registry)
    (folder / "blobs" / "sha256" / pack.digest.hex[:2] / pack.digest.hex).write_bytes(b"damaged")
    source = open_backend(BackendPlaces.in_folder(folder))
    target = open_backend(BackendPlaces.in_folder(tmp_path / "target"), create=True)

    with pytest.raises(IntegrityError):
        move_registry(source, target, now=now)

    assert target.catalog.skills() == []
    source.close()
    target.close()
