"""A served registry on both databases: publish, states, numbering, documents and events."""

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from skillpm.errors import SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.backend import Backend, open_backend
from skillpm_registry.catalog.actor import ANONYMOUS, LOCAL, Actor
from skillpm_registry.errors import ReleaseExistsError, UnknownReleaseError
from skillpm_registry.refusals import (
    BlobsNotLiveError,
    MirroredNamespaceError,
    UnknownNamespaceError,
)
from skillpm_registry.tables import release_blob

MakePack = Callable[..., Any]
MATH = SkillName("acme", "math")
ONE = Version.parse("1.0.0")


def execute(backend: Backend, statement: str) -> None:
    with backend.database.writing() as connection:
        connection.exec_driver_sql(statement)


def member(backend: Backend, name: str, namespace: str | None = None) -> Actor:
    """A principal, as a member of a namespace."""
    execute(
        backend,
        "INSERT INTO principal (name, kind, created_at) "  # noqa: S608
        f"VALUES ('{name}', 'user', CURRENT_TIMESTAMP)",
    )
    with backend.database.reading() as connection:
        query = f"SELECT id FROM principal WHERE name = '{name}'"  # noqa: S608
        key = int(connection.exec_driver_sql(query).scalar_one())
    if namespace:
        execute(
            backend,
            "INSERT INTO namespace_member (namespace, principal_id, role, granted_at) "  # noqa: S608
            f"VALUES ('{namespace}', {key}, 'publisher', CURRENT_TIMESTAMP)",
        )
    return Actor(key)


def document(backend: Backend, actor: Actor = ANONYMOUS) -> Any:
    found = backend.documents.find(MATH, actor)
    return None if found is None else json.loads(found.body)


def test_published_release_has_a_position_and_a_document(
    backend: Backend, make_pack: MakePack, now: datetime, places: Any
) -> None:
    pack = make_pack(requires=["acme/numbers ^1"])
    change = pack.publish_to(backend)
    assert (change.created, change.state) == (True, "live")
    assert backend.sequencer.position_of(change.leaf) is None
    assert document(backend) is None

    batch = backend.sequencer.step(now=now)

    assert (batch.leaves, batch.documents) == (1, 1)
    assert backend.sequencer.position_of(change.leaf) == 0
    (entry,) = document(backend)["releases"]
    assert (entry["version"], entry["digest"]) == ("1.0.0", str(pack.digest))
    assert entry["requires"] == ["acme/numbers ^1"]
    assert (entry["state"], entry["reason"], entry["position"]) == ("live", "", 0)
    assert entry["published"] == "2024-05-17T12:30:00Z"
    body = (Path(places.tree) / "index" / "acme" / "math.json").read_bytes()
    immutable = Path(places.tree) / "index" / "acme" / "math" / f"{Digest.of(body).hex}.json"
    assert immutable.read_bytes() == body


def test_empty_registry_is_opened_again(backend: Backend, places: Any, now: datetime) -> None:
    backend.collector.sweep(now=now)
    backend.tree.put("config.json", b"{}")

    open_backend(places, create=True).close()


def test_publishing_again_returns_the_first_leaf(backend: Backend, make_pack: MakePack) -> None:
    first = make_pack().publish_to(backend)

    again = make_pack().publish_to(backend)

    assert (again.created, again.leaf) == (False, first.leaf)


def test_other_contents_for_a_version_are_refused(backend: Backend, make_pack: MakePack) -> None:
    make_pack().publish_to(backend)

    with pytest.raises(ReleaseExistsError):
        make_pack(b"other").publish_to(backend)


def test_pack_with_missing_blobs_is_refused_by_their_digests(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    pack = make_pack()
    config, payload = pack.blobs.items()
    backend.uploads.store(config[0], config[1], "acme", LOCAL, now=now)

    with pytest.raises(BlobsNotLiveError) as refused:
        backend.publisher.publish(pack.image, LOCAL, now=now)

    assert refused.value.digests == (payload[0],)
    assert pack.publish_to(backend).created


def test_invalid_pack_is_refused(backend: Backend, now: datetime) -> None:
    with pytest.raises(SpecError):
        backend.publisher.publish(b"{}", LOCAL, now=now)


def test_unknown_and_mirrored_namespaces_are_refused(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    alice = member(backend, "alice")
    with pytest.raises(UnknownNamespaceError):
        make_pack(skill="gamma/math").publish_to(backend, alice)

    execute(backend, "UPDATE namespace SET mirror_of = 'https://x.example' WHERE name = 'acme'")
    with pytest.raises(MirroredNamespaceError):
        make_pack().publish_to(backend, alice)


@pytest.mark.parametrize("same", [True, False])
def test_concurrent_publishers_of_one_version_agree(
    backend: Backend, make_pack: MakePack, now: datetime, *, same: bool
) -> None:
    packs = [make_pack(b"x" if same else bytes([number])) for number in range(6)]
    for pack in packs:
        pack.upload(backend)
    results: list[Any] = []

    def publish(pack: Any) -> None:
        try:
            results.append(backend.publisher.publish(pack.image, LOCAL, now=now).created)
        except ReleaseExistsError as problem:
            results.append(problem.kind)

    threads = [threading.Thread(target=publish, args=[pack]) for pack in packs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, results)) == sorted(["True", *["False" if same else "state"] * 5])
    assert backend.sequencer.step(now=now).leaves == 1
    assert len(document(backend)["releases"]) == 1


def test_states_are_in_document_log_and_events(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish_to(backend)
    alice = member(backend, "alice", "acme")

    yanked = backend.changes.yank(MATH, ONE, "adds wrongly", alice, now=now)
    again = backend.changes.yank(MATH, ONE, "adds wrongly", alice, now=now)
    quarantined = backend.changes.quarantine(MATH, ONE, "malicious", alice, now=now)
    backend.sequencer.step(now=now)

    assert (yanked.created, again.created) == (True, False)
    assert (quarantined.state, quarantined.reason) == ("quarantined", "malicious")
    (entry,) = document(backend)["releases"]
    assert (entry["state"], entry["reason"]) == ("quarantined", "malicious")
    assert backend.search.find("math", LOCAL) == []
    released = backend.changes.release(MATH, ONE, alice, now=now)
    assert (released.state, released.reason) == ("yanked", "adds wrongly")
    assert backend.changes.unyank(MATH, ONE, alice, now=now).state == "live"
    backend.sequencer.step(now=now)
    events = backend.events.after(0, LOCAL)
    assert [event.kind for event in events] == [
        "publish", "yank", "quarantine", "release", "unyank",
    ]  # fmt: skip
    assert [event.position for event in events] == [0, 1, 2, 3, 4]
    assert {event.principal for event in events} == {None, "alice"}
    assert backend.events.after(3, LOCAL) == events[3:]
    assert len(backend.search.find("math", LOCAL)) == 1


def test_unknown_release_cannot_change(backend: Backend, now: datetime) -> None:
    with pytest.raises(UnknownReleaseError):
        backend.changes.yank(MATH, ONE, "", LOCAL, now=now)


def test_positions_of_concurrent_sequencers_have_no_gaps(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    stop = threading.Event()
    sequencers = [threading.Thread(target=backend.sequencer.run, args=[stop]) for _ in range(3)]
    for thread in sequencers:
        thread.start()

    leaves = [make_pack(version=f"1.{number}.0").publish_to(backend).leaf for number in range(20)]
    positions = [backend.sequencer.wait_for(leaf, 60) for leaf in leaves]
    stop.set()
    for thread in sequencers:
        thread.join()

    assert sorted(map(str, positions)) == sorted(map(str, range(20)))
    backend.sequencer.step(now=now)
    releases = document(backend)["releases"]
    assert [release["version"] for release in releases] == [f"1.{n}.0" for n in range(20)]


@pytest.mark.parametrize("most", [3, 40])
def test_layers_of_a_pack_keep_their_order_in_one_statement_and_in_several(
    backend: Backend, make_pack: MakePack, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("skillpm_registry.catalog.insert._TOGETHER", most)
    pack = make_pack(extra=(b"second", b"third"))
    pack.publish_to(backend)

    parts = select(release_blob.c.digest).order_by(release_blob.c.position)
    with backend.database.reading() as connection:
        assert list(connection.scalars(parts)) == [str(digest) for digest in pack.blobs]


def test_private_skills_are_hidden_from_others(
    backend: Backend, make_pack: MakePack, now: datetime, places: Any
) -> None:
    execute(backend, "UPDATE namespace SET private = '1' WHERE name = 'acme'")
    alice, bob = member(backend, "alice", "acme"), member(backend, "bob", "beta")
    pack = make_pack()
    pack.publish_to(backend, alice)
    backend.sequencer.step(now=now)
    digest = next(iter(pack.blobs))

    assert document(backend, alice)["skill"] == "acme/math"
    assert backend.documents.present_blobs([digest], alice) == {digest}
    assert len(backend.search.find("math", alice)) == 1
    assert len(backend.events.after(0, alice)) == 1
    for stranger in (bob, ANONYMOUS):
        assert document(backend, stranger) is None
        assert backend.documents.present_blobs([digest], stranger) == set()
        assert backend.search.find("math", stranger) == []
        assert backend.events.after(0, stranger) == []
    assert backend.documents.namespaces() == ["beta"]
    assert not (Path(places.tree) / "index").exists()


def test_blobs_of_a_private_pack_cannot_be_taken_over(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    execute(backend, "UPDATE namespace SET private = '1' WHERE name = 'acme'")
    alice, bob = member(backend, "alice", "acme"), member(backend, "bob", "beta")
    make_pack(b"secret").publish_to(backend, alice)
    stolen = make_pack(b"secret", skill="beta/math")
    config = next(iter(stolen.blobs))

    session = backend.uploads.begin(config, len(stolen.blobs[config]), "beta", bob, now=now)
    assert session is not None
    backend.uploads.append(session.id, 0, stolen.blobs[config], bob, now=now)
    backend.uploads.finish(session.id, bob, now=now)

    with pytest.raises(BlobsNotLiveError):
        backend.publisher.publish(stolen.image, bob, now=now)
    assert stolen.publish_to(backend, bob).created  # He has the bytes himself.


def test_replaced_documents_are_kept_for_a_day(
    backend: Backend, make_pack: MakePack, now: datetime, places: Any
) -> None:
    folder = Path(places.tree) / "index" / "acme" / "math"
    make_pack().publish_to(backend)
    backend.sequencer.step(now=now)
    make_pack(version="2.0.0").publish_to(backend)
    backend.sequencer.step(now=now)
    assert len(list(folder.iterdir())) == 2

    backend.collector.sweep(now=now + timedelta(hours=23))
    assert len(list(folder.iterdir())) == 2
    swept = backend.collector.sweep(now=now + timedelta(hours=25))

    assert swept.files == 1
    current = backend.documents.find(MATH, ANONYMOUS)
    assert current is not None
    assert [path.stem for path in folder.iterdir()] == [current.digest.hex]
