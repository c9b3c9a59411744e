"""Blobs over HTTP: cut, slow, endless, compressed and false answers."""

import gzip
import time
from pathlib import Path

import pytest
from remote_values import CONTENT, DIGEST, FAST, Open
from served_registry import FaultyServer, Handler, cut_after, hang_up, status
from static_tree import StaticTree

from skillpm.errors import AuthError, IntegrityError, NotFoundError, RegistryError
from skillpm.index.remote.errors import BadReplyError, UnreachableRegistryError
from skillpm.spec.digests import Digest
from skillpm.spec.served import blob_path
from skillpm.store.blobs import Store
from skillpm.store.errors import WrongBlobError

SIZE = len(CONTENT)
BLOB = "/blobs/"


def _sent(server: FaultyServer) -> int:
    return sum(seen.sent for seen in server.requests if BLOB in seen.path)


def test_a_download_that_is_cut_twenty_times_sends_each_byte_once(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    step = SIZE // 21
    server.fault(BLOB, *[cut_after(step)] * 20)
    assert store.fetch(DIGEST, SIZE, opened(server.url)) == SIZE
    assert store.read(DIGEST) == CONTENT
    asked = [seen.headers for seen in server.requests if BLOB in seen.path]
    assert [headers.get("range") for headers in asked[:2]] == [None, f"bytes={step}-"]
    assert all("if-range" in headers for headers in asked[1:])
    assert _sent(server) == SIZE


def test_a_failed_download_is_continued_by_the_next_command(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    server.fault(BLOB, cut_after(SIZE // 2), *[hang_up] * FAST.tries)
    with pytest.raises(UnreachableRegistryError):
        store.fetch(DIGEST, SIZE, opened(server.url))
    store.close()
    assert not (store.folder / "sha256" / DIGEST.hex[:2] / DIGEST.hex).exists()
    later = Store(store.folder)
    later.sweep_staging()
    done: list[int] = []
    later.fetch(DIGEST, SIZE, opened(server.url), done.append)
    assert later.read(DIGEST) == CONTENT
    assert (_sent(server), sum(done)) == (SIZE, SIZE)
    assert list((store.folder / "tmp").iterdir()) == []


def test_a_kept_part_with_wrong_bytes_is_fetched_again(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    (store.folder / "tmp").mkdir(parents=True)
    part = store.folder / "tmp" / f"part-{DIGEST.hex}"
    part.write_bytes(b"\0" * (1 << 20))
    store.fetch(DIGEST, SIZE, opened(server.url))
    assert store.read(DIGEST) == CONTENT
    part.write_bytes(b"\0" * (SIZE + 1))
    (store.path_of(DIGEST)).unlink()
    again = Store(store.folder)
    again.fetch(DIGEST, SIZE, opened(server.url))
    assert again.read(DIGEST) == CONTENT


def test_an_old_part_is_removed(store: Store) -> None:
    (store.folder / "tmp").mkdir(parents=True)
    part = store.folder / "tmp" / f"part-{DIGEST.hex}"
    part.write_bytes(b"\0")
    store.sweep_staging(time.time() - 60)
    assert part.exists()
    store.sweep_staging(time.time() + 60)
    assert not part.exists()


def test_a_server_that_ignores_ranges_sends_the_whole_blob_again(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    def whole(handler: Handler) -> None:
        handler.answer(200, CONTENT, {})

    server.fault(BLOB, cut_after(SIZE // 2), whole)
    store.fetch(DIGEST, SIZE, opened(server.url))
    assert store.read(DIGEST) == CONTENT


def test_a_blob_that_changed_on_the_server_is_refused(
    server: FaultyServer, opened: Open, store: Store, tree: StaticTree
) -> None:
    def other(handler: Handler) -> None:
        handler.serve_bytes(b"\1" * SIZE)  # another ETag: If-Range gets the whole of it

    server.fault(BLOB, cut_after(SIZE // 2), other)
    with pytest.raises(WrongBlobError):
        store.fetch(DIGEST, SIZE, opened(server.url))
    assert list((store.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("length", [SIZE - 1, SIZE + 1, 10**15])
def test_a_wrong_length_is_refused_before_the_body(
    length: int, server: FaultyServer, opened: Open, store: Store
) -> None:
    def lie(handler: Handler) -> None:
        handler.start(200, {"content-length": str(length)})
        handler.close_connection = True

    server.fault(BLOB, lie)
    with pytest.raises(BadReplyError, match=f"it has {length} bytes; expected {SIZE}"):
        store.fetch(DIGEST, SIZE, opened(server.url))


def _chunked(handler: Handler, chunks: int) -> None:
    handler.start(200, {"transfer-encoding": "chunked"})
    piece = b"\0" * (1 << 16)
    for _ in range(chunks):
        handler.send(b"%x\r\n%s\r\n" % (len(piece), piece))


def test_an_endless_body_is_cut_off_at_the_size_of_the_blob(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    server.fault(BLOB, lambda handler: _chunked(handler, 1 << 20))
    with pytest.raises(IntegrityError):
        store.fetch(DIGEST, SIZE, opened(server.url))
    assert _sent(server) < 4 * SIZE + (16 << 20), "the rest stays in the buffers of the sockets"


def test_a_compressed_blob_is_refused(server: FaultyServer, opened: Open, store: Store) -> None:
    packed = gzip.compress(CONTENT)
    server.fault(BLOB, status(200, packed, content_encoding="gzip"))
    with pytest.raises(BadReplyError, match="compressed"):
        store.fetch(DIGEST, SIZE, opened(server.url))


@pytest.mark.parametrize(
    "content_range",
    ["bytes 5-10/11", "bytes 0-10/11", "", "lines 1-2/3", f"bytes {SIZE // 2}-{SIZE}/{SIZE + 1}"],
)
def test_a_false_range_is_refused(
    content_range: str, server: FaultyServer, opened: Open, store: Store
) -> None:
    server.fault(BLOB, cut_after(SIZE // 2), status(206, b"x" * 10, content_range=content_range))
    with pytest.raises(BadReplyError):
        store.fetch(DIGEST, SIZE, opened(server.url))


def test_busy_answers_are_waited_out(server: FaultyServer, opened: Open, store: Store) -> None:
    server.fault(BLOB, status(503), status(429, retry_after="1"), status(500), hang_up)
    began = time.monotonic()
    store.fetch(DIGEST, SIZE, opened(server.url))
    assert time.monotonic() - began >= 1.0, "Retry-After is honoured"
    assert store.read(DIGEST) == CONTENT


def test_a_server_that_asks_to_wait_too_long_is_given_up(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    server.fault(BLOB, status(429, retry_after="86400"))
    with pytest.raises(UnreachableRegistryError, match="asks to wait 86400 seconds"):
        store.fetch(DIGEST, SIZE, opened(server.url))


@pytest.mark.parametrize(
    ("code", "error"), [(401, AuthError), (403, AuthError), (404, NotFoundError)]
)
def test_refusals_have_the_error_of_their_kind(
    code: int, error: type[Exception], server: FaultyServer, opened: Open, store: Store
) -> None:
    server.fault(BLOB, status(code))
    with pytest.raises(error):
        store.fetch(DIGEST, SIZE, opened(server.url))
    assert len(server.paths(BLOB)) == 1, "a refusal is not repeated"


def test_a_missing_blob_is_looked_up_at_the_service_too(
    server: FaultyServer, opened: Open, store: Store, tree: StaticTree
) -> None:
    private = b"private" * 1000
    digest = Digest.of(private)
    tree.service = f"{tree.own}/api"
    tree.write_config()
    tree.write(f"/api/blobs{blob_path(digest)}", private)
    store.fetch(digest, len(private), opened(server.url))
    assert store.read(digest) == private


def test_redirects_are_followed_a_few_times(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    path = f"/blobs{blob_path(DIGEST)}"
    server.fault(BLOB, *[status(302, location=path)] * 5)
    store.fetch(DIGEST, SIZE, opened(server.url))
    (store.path_of(DIGEST)).unlink()
    server.fault(BLOB, *[status(302, location=path)] * 6)
    with pytest.raises(BadReplyError, match="redirects"):
        Store(store.folder).fetch(DIGEST, SIZE, opened(server.url))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x/y", "http://[", "javascript:1"])
def test_redirects_leave_http_nowhere(
    target: str, server: FaultyServer, opened: Open, store: Store
) -> None:
    server.fault(BLOB, status(302, location=target))
    with pytest.raises(BadReplyError, match="redirect"):
        store.fetch(DIGEST, SIZE, opened(server.url))


def test_a_full_disk_leaves_no_part(
    server: FaultyServer, opened: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="No space left"):
        store.fetch(DIGEST, SIZE, opened(server.url))
    assert list((store.folder / "tmp").iterdir()) == []


def test_two_processes_may_fetch_the_same_blob(
    server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    first, second = Store(tmp_path / "home" / "store"), Store(tmp_path / "home" / "store")
    ended: list[int] = []

    def advance(_size: int) -> None:
        if not ended:  # while the first one holds its part
            ended.append(1)
            second.fetch(DIGEST, SIZE, opened(server.url))

    first.fetch(DIGEST, SIZE, opened(server.url), advance)
    assert first.read(DIGEST) == second.read(DIGEST) == CONTENT


def test_a_closed_port_is_given_up_soon(opened: Open, store: Store) -> None:
    with pytest.raises(RegistryError, match="cannot be reached"):
        store.fetch(DIGEST, SIZE, opened("http://127.0.0.1:9"))
