"""Credentials over HTTP: each goes to its own origin, and into no message."""

import os
from pathlib import Path

import pytest
from remote_values import INDEX, MATH, Open, listing
from served_registry import FaultyServer, problem, serving, status
from static_tree import StaticTree

from skillpm.errors import AuthError, RegistryError, SpecError, UsageError
from skillpm.index.credentials import Credentials, StoredTokens
from skillpm.spec.names import SkillName
from skillpm.spec.origin import WebOrigin


def test_releases_come_in_the_order_of_versions(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    found = opened(server.url).releases([MATH, SkillName.parse("acme/none")])
    assert list(found) == [MATH]
    assert [str(each.version) for each in found[MATH]] == ["1.9.0", "1.10.0", "2.0.0-rc.1"]
    release = found[MATH][0]
    assert (release.summary, release.size, str(release.requires[0])) == ("sums", 10, "acme/x ^1")


def _asked(server: FaultyServer, part: str = "") -> set[str | None]:
    return {s.headers.get("authorization") for s in server.requests if part in s.path}


def _with_token(opened: Open, tmp_path: Path, url: str, *trusted: str) -> object:
    origins = frozenset(map(WebOrigin.of, trusted))
    credentials = Credentials(StoredTokens(tmp_path / "home"), "secret-token", origins)
    return opened(url, credentials=credentials).releases([MATH])


def test_the_token_of_the_environment_goes_to_trusted_origins_only(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    _with_token(opened, tmp_path, server.url, server.url)
    assert _asked(server) == {"Bearer secret-token"}
    server.requests.clear()
    _with_token(opened, tmp_path, server.url, "http://elsewhere.example", "http://127.0.0.1:1")
    assert _asked(server) == {None}


def test_credentials_are_dropped_on_another_origin(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    with serving(math.folder) as other:
        back = f"{server.url}/index/acme/moved.json"
        math.write("/index/acme/moved.json", listing("1.0.0"))
        server.fault(INDEX, status(307, location=f"{other.url}{INDEX}", set_cookie="a=b"))
        other.fault(INDEX, status(307, location=back))
        _with_token(opened, tmp_path, server.url, server.url)
        assert _asked(other) == {None}
        assert _asked(server, "moved") == {None}, "not even after the way back"
        assert _asked(server, "math") == {"Bearer secret-token"}
        assert not any("cookie" in seen.headers for seen in server.requests + other.requests)


def test_parts_on_another_origin_get_no_credentials(
    server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    foreign = StaticTree(tmp_path / "foreign")
    foreign.write(INDEX, listing("1.0.0"))
    with serving(foreign.folder) as other:
        tree = StaticTree(server.server.folder, own=other.url, namespaces=["acme"])
        tree.write_config()
        moved = (tree.folder / "config.json").read_bytes()
        moved = moved.replace(f'"url":"{other.url}"'.encode(), b'"url":"http://registry.example"')
        tree.write("/config.json", moved)
        _with_token(opened, tmp_path, server.url, server.url)
        assert other.paths() == [INDEX]
        assert _asked(other) == {None}


def test_user_and_password_of_the_url_go_to_its_origin(
    math: StaticTree, server: FaultyServer, opened: Open
) -> None:
    url = server.url.replace("://", "://me:p%40ss@")
    opened(url).releases([MATH])
    assert _asked(server) == {"Basic bWU6cEBzcw=="}
    with pytest.raises(UsageError, match="query"):
        opened(f"{server.url}/?token=x")


def test_stored_tokens_are_private_and_belong_to_their_origin(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    tokens = StoredTokens(tmp_path / "home")
    tokens.put(WebOrigin.of(server.url), "stored-token")
    (file,) = (tmp_path / "home" / "credentials").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    opened(server.url).releases([MATH])
    assert _asked(server) == {"Bearer stored-token"}
    assert tokens.get(WebOrigin.of("http://127.0.0.1:1")) is None
    file.chmod(0o644)
    with pytest.raises(Exception, match="other users can read"):
        tokens.get(WebOrigin.of(server.url))
    assert tokens.remove(WebOrigin.of(server.url))
    assert not tokens.remove(WebOrigin.of(server.url))
    assert tokens.get(WebOrigin.of(server.url)) is None


def test_a_link_in_place_of_a_stored_token_is_not_followed(tmp_path: Path) -> None:
    tokens, origin = StoredTokens(tmp_path / "home"), WebOrigin.of("http://a.example")
    tokens.put(origin, "x")
    (file,) = (tmp_path / "home" / "credentials").iterdir()
    target = tmp_path / "target"
    target.write_bytes(file.read_bytes())
    target.chmod(0o600)
    file.unlink()
    file.symlink_to(target)
    with pytest.raises(Exception, match=r"link|credentials"):
        tokens.get(origin)
    tokens.put(origin, "y")
    assert tokens.get(origin) == "y"
    assert b"y" not in target.read_bytes().replace(b"keyring", b"")


def test_a_refusal_names_the_login(math: StaticTree, server: FaultyServer, opened: Open) -> None:
    server.fault(INDEX, problem(401, "auth", "a token is required"))
    with pytest.raises(AuthError, match="a token is required") as failed:
        opened(server.url).releases([MATH])
    assert f"skillpm login --registry {server.url}" in (failed.value.hint or "")


def test_no_secret_is_in_a_message_or_a_repr(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    server.fault(INDEX, problem(403, "auth", "no"))
    with pytest.raises(AuthError) as failed:
        _with_token(opened, tmp_path, server.url, server.url)
    credentials = Credentials(StoredTokens(tmp_path), "secret-token", frozenset())
    assert "secret-token" not in f"{failed.value!r}{failed.value.hint}{credentials!r}"


def test_a_token_that_could_split_headers_is_refused(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    for token in ("a\r\nx: y", "ü", " ", "a b", "a" * 10_000):
        origins = frozenset({WebOrigin.of(server.url)})
        credentials = Credentials(StoredTokens(tmp_path / "home"), token, origins)
        with pytest.raises(UsageError, match="SKILLPM_TOKEN") as failed:
            opened(server.url, credentials=credentials).releases([MATH])
        assert token.strip() == "" or token not in failed.value.message
    assert server.requests == []


@pytest.mark.parametrize("text", ["", "x", "ftp://a", "http://", "http://[", "http://a:b"])
def test_an_origin_needs_an_http_url(text: str) -> None:
    with pytest.raises(SpecError):
        WebOrigin.of(text)


def test_origins_compare_by_scheme_host_and_port() -> None:
    assert WebOrigin.of("HTTPS://Example.org/x") == WebOrigin.of("https://example.org:443")
    assert str(WebOrigin.of("http://[::1]:8080/x")) == "http://[::1]:8080"
    assert WebOrigin.of("http://a.example") != WebOrigin.of("https://a.example")


def test_proxies_of_the_environment_are_used(
    math: StaticTree, server: FaultyServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    with pytest.raises(RegistryError):
        opened("http://registry.invalid").releases([MATH])
    assert server.paths() == ["http://registry.invalid/config.json"]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert opened(server.url).releases([MATH])


def test_the_cache_is_private(
    math: StaticTree, server: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    opened(server.url).releases([MATH])
    files = list((tmp_path / "home" / "cache").rglob("*"))
    assert files
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    os.chmod(tmp_path / "home" / "cache", 0o777)  # noqa: PTH101, S103
    server.requests.clear()
    opened(server.url).releases([MATH])
    assert {seen.status for seen in server.requests} == {200}, "others may have written the cache"
