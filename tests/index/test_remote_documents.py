"""Documents over HTTP: cache, ETags, limits, credentials and refusals."""

import gzip
import time
import zlib
from pathlib import Path

import pytest
from remote_values import FAST, IMPATIENT, INDEX, MATH, Open, listing
from served_registry import FaultyServer, Handler, hang_up, later, status
from static_tree import StaticTree

from skillpm.errors import RegistryError
from skillpm.index.remote.documents import OfflineError
from skillpm.index.remote.errors import (
    BadReplyError,
    SlowRetrievalError,
    UnreachableRegistryError,
    UnreadableReplyError,
)
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName


def test_releases_come_in_the_order_of_versions(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    found = opened(server.url).releases([MATH, SkillName.parse("acme/none")])
    assert list(found) == [MATH]
    assert [str(each.version) for each in found[MATH]] == ["1.9.0", "1.10.0", "2.0.0-rc.1"]
    release = found[MATH][0]
    assert (release.summary, release.size, str(release.requires[0])) == ("sums", 10, "acme/x ^1")


def test_a_command_reads_each_document_once(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    index = opened(server.url)
    for _ in range(3):
        index.releases([MATH])
    assert server.paths() == ["/config.json", INDEX]


def test_a_document_in_the_cache_is_confirmed_and_then_read_from_there(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    opened(server.url).releases([MATH])
    assert opened(server.url).releases([MATH])
    assert [seen.status for seen in server.requests] == [200, 200, 304, 304]
    math.write(INDEX, listing("3.0.0"))
    assert str(opened(server.url).releases([MATH])[MATH][0].version) == "3.0.0"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_cache_is_not_believed(
    damage: str, math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    expected = opened(server.url).releases([MATH])
    files = [path for path in (tmp_path / "home" / "cache").rglob("*") if path.is_file()]
    assert len(files) == 2
    for file in files:
        data = file.read_bytes()
        changed = {"flip": data.replace(b"acme", b"evil"), "cut": data[:-5], "empty": b"",
                   "other": files[0].read_bytes()}[damage]  # fmt: skip
        file.write_bytes(changed)
    assert opened(server.url).releases([MATH]) == expected


def test_max_age_is_honoured_within_an_hour(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    server.server.headers["cache-control"] = "public, max-age=31536000, immutable"
    opened(server.url, now=1000.0).releases([MATH])
    server.requests.clear()
    opened(server.url, now=1000.0 + 3599).releases([MATH])
    assert server.requests == []
    opened(server.url, now=1000.0 + 3601).releases([MATH])
    assert [seen.status for seen in server.requests] == [304, 304]
    server.requests.clear()
    opened(server.url, now=900.0).releases([MATH])
    assert len(server.requests) == 2, "a time in the future is not believed"


@pytest.mark.parametrize("rule", ["no-cache, max-age=60", "max-age=sixty", "max-age=", "private"])
def test_without_a_valid_max_age_the_registry_is_asked(
    rule: str, math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    server.server.headers["cache-control"] = rule
    opened(server.url).releases([MATH])
    opened(server.url).releases([MATH])
    assert len(server.requests) == 4


def test_age_counts_towards_max_age(math: StaticTree, server: FaultyServer, opened: Open) -> None:
    server.server.headers |= {"cache-control": "max-age=60", "age": "50"}
    opened(server.url, now=1000.0).releases([MATH])
    server.requests.clear()
    opened(server.url, now=1009.0).releases([MATH])
    assert server.requests == []
    opened(server.url, now=1011.0).releases([MATH])
    assert server.requests


def test_documents_that_must_not_be_stored_are_not(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    server.server.headers["cache-control"] = "no-store"
    opened(server.url).releases([MATH])
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_offline_serves_documents_of_any_age_and_asks_for_nothing(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    expected = opened(server.url, now=0.0).releases([MATH])
    server.requests.clear()
    offline = opened(server.url, now=1e9, offline=True)
    assert offline.releases([MATH]) == expected
    with pytest.raises(OfflineError, match="acme/other"):
        offline.releases([SkillName.parse("acme/other")])
    with pytest.raises(OfflineError):
        offline.open_blob(Digest.of(b""))
    with pytest.raises(OfflineError):
        offline.search("x")
    assert server.requests == []


def test_two_registries_of_one_host_have_separate_caches(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    other = StaticTree(math.folder / "other", own="http://other.example", namespaces=["acme"])
    other.write_config()
    other.write(INDEX, listing("9.0.0"))
    first, second = opened(server.url), opened(f"{server.url}/other/")
    assert len(first.releases([MATH])[MATH]) == 3
    assert len(second.releases([MATH])[MATH]) == 1
    assert second.config.parts.index == f"{server.url}/other/index"


def test_an_etag_that_names_another_digest_is_refused(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    data = listing("1.0.0")
    server.fault(INDEX, status(200, data, etag=f'"{Digest.of(b"x")}"'))
    with pytest.raises(BadReplyError, match="ETag"):
        opened(server.url).releases([MATH])
    server.fault(INDEX, status(200, data, etag=f'W/"{Digest.of(data)}"'))
    assert opened(server.url).releases([MATH])


def test_an_unexpected_304_is_an_error(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    server.fault(INDEX, status(304))
    with pytest.raises(RegistryError):
        opened(server.url).releases([MATH])


def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = b" " * (1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (_bomb(256 << 20), "gzip"),
        (b"not gzip", "gzip"),
        (gzip.compress(b"{}") + b"rest", "gzip"),
        (gzip.compress(b"{}") * 2, "gzip"),
        (b"{}", "br"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip"),
    ],
    ids=["bomb", "false", "rest", "two", "other", "twice"],
)
def test_compressed_bodies_stay_within_their_limits(
    body: bytes, encoding: str, server: FaultyServer, opened: Open
) -> None:
    server.fault("config", status(200, body, content_encoding=encoding))
    with pytest.raises(BadReplyError):
        opened(server.url).config  # noqa: B018 - reads the document


def test_a_compressed_document_is_read(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    server.fault(INDEX, status(200, gzip.compress(listing("1.0.0")), content_encoding="gzip"))
    assert opened(server.url).releases([MATH])
    assert server.requests[-1].headers["accept-encoding"] == "gzip"


def test_a_huge_or_endless_document_is_refused(server: FaultyServer, opened: Open) -> None:
    def endless(handler: Handler) -> None:
        handler.start(200, {"transfer-encoding": "chunked"})
        for _ in range(1 << 14):
            handler.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")

    def announced(handler: Handler) -> None:
        handler.start(200, {"content-length": str(10**12)})
        handler.close_connection = True

    server.fault("config", endless)
    with pytest.raises(BadReplyError, match="more than 8000000 bytes"):
        _ = opened(server.url).config
    server.fault("config", announced)
    with pytest.raises(BadReplyError, match="announces 1000000000000 bytes"):
        _ = opened(server.url).config


def test_a_slow_document_is_given_up(server: FaultyServer, opened: Open) -> None:
    def drip(handler: Handler) -> None:
        handler.start(200, {"content-length": "100000"})
        for _ in range(40):
            handler.send(b" ")
            time.sleep(0.05)

    server.fault("config", *[drip] * IMPATIENT.tries)
    with pytest.raises(SlowRetrievalError, match="bytes came in"):
        _ = opened(server.url, policy=IMPATIENT).config


def test_answers_that_may_pass_are_asked_for_again(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    index = opened(server.url)
    assert index.config
    server.fault(INDEX, status(502), hang_up, status(429, retry_after=later(1)), status(503))
    assert index.releases([MATH])
    assert len(server.paths(INDEX)) == 5


def test_a_registry_that_only_fails_is_unreachable(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    index = opened(server.url)
    assert index.config
    server.fault(INDEX, *[status(503)] * FAST.tries)
    with pytest.raises(UnreachableRegistryError, match="503") as failed:
        index.releases([MATH])
    assert failed.value.exit_code == 5


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"<html>", b'{"api": 1}', b'{"api": 1.0}', b'{"api": "1"}', b"\xff",
     b'{"a": 1, "a": 2}', b"[" * 100_000],
)  # fmt: skip
def test_a_false_config_is_refused(body: bytes, server: FaultyServer, opened: Open) -> None:
    server.fault("config", status(200, body))
    with pytest.raises(UnreadableReplyError, match=r"config\.json"):
        _ = opened(server.url).config


def test_a_later_api_is_refused_with_a_hint(server: FaultyServer, opened: Open) -> None:
    server.fault("config", status(200, b'{"api": 2}'))
    with pytest.raises(RegistryError, match="API 2") as failed:
        _ = opened(server.url).config
    assert "upgrade skillpm" in (failed.value.hint or "")


def test_a_server_without_config_is_no_registry(
    tree: StaticTree, server: FaultyServer, opened: Open
) -> None:
    with pytest.raises(RegistryError, match="not a skillpm registry"):
        _ = opened(f"{server.url}/nowhere").config


@pytest.mark.parametrize(
    "data",
    [listing("1.0.0", skill="acme/other"), listing("1.0"), listing("1.0.0", digest="md5:1"),
     listing("1.0.0", size=-1), listing("1.0.0", requires=["nonsense"]), b"[]"],
    ids=["skill", "version", "digest", "size", "requires", "list"],
)  # fmt: skip
def test_a_false_index_document_is_refused(
    data: bytes, tree: StaticTree, server: FaultyServer, opened: Open
) -> None:
    tree.write(INDEX, data)
    with pytest.raises((BadReplyError, UnreadableReplyError), match="acme/math"):
        opened(server.url).releases([MATH])


def test_private_namespaces_are_read_from_the_service(
    tree: StaticTree, server: FaultyServer, opened: Open
) -> None:
    tree.service = f"{tree.own}/api"
    tree.write_config()
    tree.write("/api/index/secret/x.json", listing("1.0.0", skill="secret/x"))
    secret = SkillName.parse("secret/x")
    assert opened(server.url).releases([secret, MATH]).keys() == {secret}
    assert set(server.paths("/index/")) == {"/api/index/secret/x.json", INDEX}
