"""Stores of blobs and upload sessions, in a folder and in a bucket."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skillpm.errors import DigestMismatchError
from skillpm.spec.digests import Digest
from skillpm_registry.backend import Backend
from skillpm_registry.blobs.open import open_blobs, open_tree
from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.catalog.actor import LOCAL, Actor
from skillpm_registry.errors import BlobSizeError
from skillpm_registry.publishing.uploads import Uploads
from skillpm_registry.refusals import (
    BlobBusyError,
    BlobStoreError,
    QuotaExceededError,
    UnknownNamespaceError,
    UnknownUploadError,
    UploadLostError,
    UploadOffsetError,
)

DATA = bytes(range(256)) * 80_000  # 20 MB: more than a part of a multipart upload.
DIGEST = Digest.of(DATA)
SESSION = "0123456789abcdef" * 2
LONG = timedelta(minutes=1)


CEPH = pytest.param("ceph_bucket", marks=pytest.mark.services)


@pytest.fixture(params=["folder", "bucket", CEPH])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "blobs")
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def store(place: str) -> BlobStore:
    return open_blobs(place, create=True)


def read(store: BlobStore, digest: Digest, start: int = 0) -> bytes | None:
    source = store.open(digest, start)
    if source is None:
        return None
    with source:
        return source.read()


def test_stored_blob_is_read_back_whole_and_from_an_offset(store: BlobStore) -> None:
    assert (store.size(DIGEST), read(store, DIGEST)) == (None, None)

    store.put(DIGEST, len(DATA), io.BytesIO(DATA))

    assert store.size(DIGEST) == len(DATA)
    assert read(store, DIGEST) == DATA
    assert read(store, DIGEST, 12_345_678) == DATA[12_345_678:]
    assert [(found.digest, found.size) for found in store.blobs()] == [(DIGEST, len(DATA))]
    store.delete(DIGEST, LONG)
    store.delete(DIGEST, LONG)
    assert list(store.blobs()) == []


@pytest.mark.parametrize("stored", [DATA[:-1], DATA + b"x", DATA[:-1] + b"x", b""])
def test_blob_with_other_bytes_is_not_stored(store: BlobStore, stored: bytes) -> None:
    with pytest.raises((DigestMismatchError, BlobSizeError)):
        store.put(DIGEST, len(DATA), io.BytesIO(stored))

    assert list(store.blobs()) == []


@pytest.mark.parametrize("data", [b"", b"small", DATA])
def test_session_becomes_a_blob(place: str, data: bytes) -> None:
    digest, step, store = Digest.of(data), 3_000_000, open_blobs(place, create=True)
    for offset in range(0, len(data), step):
        if offset == 2 * step:
            store = open_blobs(place)  # The server is started again: the prefix is hashed again.
        store.append(SESSION, offset, data[offset : offset + step])

    assert list(store.sessions()) == ([SESSION] if data else [])
    store.finish(SESSION, digest, len(data))

    assert read(store, digest) == data
    assert list(store.sessions()) == []


def test_session_with_other_bytes_becomes_no_blob(store: BlobStore) -> None:
    store.append(SESSION, 0, b"other")

    with pytest.raises(DigestMismatchError):
        store.finish(SESSION, Digest.of(b"bytes"), 5)

    assert list(store.blobs()) == []
    assert list(store.sessions()) == []


def test_repeated_chunk_changes_nothing(store: BlobStore) -> None:
    for _ in range(2):
        store.append(SESSION, 0, b"first")
    for _ in range(2):
        store.append(SESSION, 5, b"second")

    store.finish(SESSION, Digest.of(b"firstsecond"), 11)


def test_late_chunk_with_other_bytes_cannot_change_a_blob(store: BlobStore) -> None:
    store.append(SESSION, 0, b"first")
    store.append(SESSION, 5, b"second")
    try:
        store.append(SESSION, 0, b"FIRST")
        store.finish(SESSION, Digest.of(b"firstsecond"), 11)
    except (UploadLostError, DigestMismatchError):
        return

    assert read(store, Digest.of(b"firstsecond")) == b"firstsecond"


def test_missing_chunk_is_reported(store: BlobStore) -> None:
    def upload() -> None:
        store.append(SESSION, 5, b"second")
        store.finish(SESSION, Digest.of(b"firstsecond"), 11)

    with pytest.raises(UploadLostError):
        upload()


def test_aborted_session_leaves_nothing(store: BlobStore) -> None:
    store.append(SESSION, 0, b"first")

    store.abort(SESSION)
    store.abort(SESSION)

    assert list(store.sessions()) == []


@pytest.mark.parametrize("name", ["../../../x", "x/y", "", "A" * 32])
def test_session_cannot_name_another_path(tmp_path: Path, name: str) -> None:
    store = open_blobs(str(tmp_path), create=True)

    with pytest.raises(UploadLostError):
        store.append(name, 0, b"bytes")

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_folder_gives_files_and_bucket_gives_urls(store: BlobStore, place: str) -> None:
    store.put(Digest.of(b"x"), 1, io.BytesIO(b"x"))

    file, url = store.file(Digest.of(b"x")), store.url(Digest.of(b"x"), LONG)

    assert (file is None) != (url is None)
    assert file is None or file.read_bytes() == b"x"


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BlobStoreError):
        open_blobs(str(tmp_path / "missing"))


def test_bucket_that_is_gone_is_reported(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BlobStoreError):
        open_blobs("s3://no-such-bucket/x").put(Digest.of(b"x"), 1, io.BytesIO(b"x"))


def test_tree_holds_documents(place: str) -> None:
    tree = open_tree(place)

    tree.put("index/acme/math.json", b"1")
    tree.put("index/acme/math.json", b"2")
    tree.put("index/acme/math/abc.json", b"2", immutable=True)

    assert tree.get("index/acme/math.json") == b"2"
    assert list(tree.paths("index/")) == ["index/acme/math.json", "index/acme/math/abc.json"]
    tree.remove("index/acme/math.json")
    tree.remove("index/acme/math.json")
    assert tree.get("index/acme/math.json") is None


def begin(backend: Backend, data: bytes, now: datetime, actor: Actor = LOCAL) -> Any:
    return backend.uploads.begin(Digest.of(data), len(data), "acme", actor, now=now)


def test_upload_is_resumed_at_its_offset(backend: Backend, now: datetime, places: Any) -> None:
    session = begin(backend, b"abcdef", now)
    backend.uploads.append(session.id, 0, b"abc", LOCAL, now=now)

    resumed = begin(backend, b"abcdef", now + timedelta(days=6))
    assert (resumed.id, resumed.received) == (session.id, 3)
    with pytest.raises(UploadOffsetError) as refused:
        backend.uploads.append(session.id, 0, b"abc", LOCAL, now=now)
    assert refused.value.expected == 3
    with pytest.raises(UploadOffsetError):
        backend.uploads.finish(session.id, LOCAL, now=now)
    with pytest.raises(BlobSizeError):
        backend.uploads.append(session.id, 3, b"defg", LOCAL, now=now)
    restarted = Uploads(backend.database, open_blobs(places.blobs))
    restarted.append(session.id, 3, b"def", LOCAL, now=now)
    restarted.finish(session.id, LOCAL, now=now)

    assert read(backend.blobs, Digest.of(b"abcdef")) == b"abcdef"
    assert begin(backend, b"abcdef", now) is None
    with pytest.raises(UnknownUploadError):
        backend.uploads.find(session.id, LOCAL)


def test_finish_is_repeated_after_a_server_was_killed(backend: Backend, now: datetime) -> None:
    session = begin(backend, b"abcdef", now)
    backend.uploads.append(session.id, 0, b"abcdef", LOCAL, now=now)
    backend.blobs.finish(session.id, session.digest, session.size)

    backend.uploads.finish(session.id, LOCAL, now=now)

    assert begin(backend, b"abcdef", now) is None


def test_upload_with_another_digest_ends(backend: Backend, now: datetime) -> None:
    session = begin(backend, b"abcdef", now)
    backend.uploads.append(session.id, 0, b"ABCDEF", LOCAL, now=now)

    with pytest.raises(DigestMismatchError):
        backend.uploads.finish(session.id, LOCAL, now=now)

    with pytest.raises(UnknownUploadError):
        backend.uploads.find(session.id, LOCAL)
    assert list(backend.blobs.blobs()) == []


def test_session_of_another_principal_is_unknown(backend: Backend, now: datetime) -> None:
    with backend.database.writing() as connection:
        for name in ("alice", "bob"):
            connection.exec_driver_sql(
                "INSERT INTO principal (name, kind, created_at) "  # noqa: S608
                f"VALUES ('{name}', 'user', CURRENT_TIMESTAMP)"
            )
    session = begin(backend, b"abc", now, Actor(1))

    for use in (
        lambda: backend.uploads.append(session.id, 0, b"abc", Actor(2), now=now),
        lambda: backend.uploads.finish(session.id, Actor(2), now=now),
        lambda: backend.uploads.abort(session.id, Actor(2)),
    ):
        with pytest.raises(UnknownUploadError):
            use()
    assert begin(backend, b"abc", now, Actor(2)).id != session.id


def test_blob_is_present_only_to_who_uploaded_it(backend: Backend, now: datetime) -> None:
    with backend.database.writing() as connection:
        for name in ("alice", "bob"):
            connection.exec_driver_sql(
                "INSERT INTO principal (name, kind, created_at) "  # noqa: S608
                f"VALUES ('{name}', 'user', CURRENT_TIMESTAMP)"
            )
    backend.uploads.store(Digest.of(b"abc"), b"abc", "acme", Actor(1), now=now)

    assert begin(backend, b"abc", now, Actor(1)) is None
    session = begin(backend, b"abc", now, Actor(2))
    assert session is not None
    backend.uploads.append(session.id, 0, b"abc", Actor(2), now=now)
    backend.uploads.finish(session.id, Actor(2), now=now)
    assert begin(backend, b"abc", now, Actor(2)) is None


def test_quota_limits_uploads(
    backend: Backend, make_pack: Callable[..., Any], now: datetime
) -> None:
    released = make_pack().publish_to(backend)
    assert released.created
    with backend.database.writing() as connection:
        size = int(connection.exec_driver_sql("SELECT sum(size) FROM release").scalar_one())
        connection.exec_driver_sql(f"UPDATE namespace SET quota_bytes = {size + 10}")  # noqa: S608

    assert begin(backend, b"a" * 6, now) is not None
    with pytest.raises(QuotaExceededError) as refused:
        begin(backend, b"b" * 6, now)
    assert (refused.value.limit, refused.value.needed) == (size + 10, size + 12)
    with pytest.raises(UnknownNamespaceError):
        backend.uploads.begin(Digest.of(b"x"), 1, "gamma", LOCAL, now=now)


def test_blob_that_is_being_deleted_is_busy(backend: Backend, now: datetime) -> None:
    backend.uploads.store(Digest.of(b"abc"), b"abc", "acme", LOCAL, now=now)
    with backend.database.writing() as connection:
        connection.exec_driver_sql("UPDATE blob SET state = 'deleting'")

    with pytest.raises(BlobBusyError):
        begin(backend, b"abc", now)

    with backend.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM upload").scalar_one() == 0
