"""HTTPS with authorities of the usual variables, and proxies."""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from remote_values import MATH, Open
from served_registry import FaultyServer, serving, status
from static_tree import StaticTree
from tls_authority import Authority, TunnelProxy, tunnelling

from skillpm.errors import UsageError
from skillpm.index.credentials import Credentials, StoredTokens
from skillpm.index.remote.errors import BadReplyError, UnreachableRegistryError
from skillpm.spec.origin import WebOrigin

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
PROXIES = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *PROXIES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "authority")


@pytest.fixture
def secure(math: StaticTree, authority: Authority) -> Iterator[FaultyServer]:
    """The registry over HTTPS, with a certificate of the authority."""
    with serving(math.folder, authority.server_context()) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[TunnelProxy]:
    with tunnelling() as proxy:
        yield proxy


@pytest.mark.parametrize("name", VARIABLES[:3])
def test_the_authority_of_a_usual_variable_is_trusted(
    name: str, secure: FaultyServer, authority: Authority, opened: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, str(authority.pem))
    assert opened(secure.url).releases([MATH])


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl, which names the files, is absent")
@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_a_folder_of_authorities_is_trusted(
    name: str, secure: FaultyServer, authority: Authority, opened: Open, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "authorities"
    folder.mkdir()
    shutil.copy(authority.pem, folder)
    subprocess.run(["openssl", "rehash", folder], check=True)
    monkeypatch.setenv(name, str(folder))
    assert opened(secure.url).releases([MATH])


def test_an_unknown_authority_is_refused_before_a_request_and_a_token(
    secure: FaultyServer, opened: Open, tmp_path: Path
) -> None:
    origins = frozenset({WebOrigin.of(secure.url)})
    credentials = Credentials(StoredTokens(tmp_path / "home"), "secret-token", origins)
    with pytest.raises(UnreachableRegistryError, match="certificate is not trusted") as failed:
        opened(secure.url, credentials=credentials).releases([MATH])
    assert failed.value.exit_code == 5
    assert "SSL_CERT_FILE" in (failed.value.hint or "")
    assert secure.requests == []


def test_another_authority_does_not_vouch_for_the_server(
    secure: FaultyServer, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority.make(tmp_path / "other").pem))
    with pytest.raises(UnreachableRegistryError, match="certificate is not trusted"):
        opened(secure.url).releases([MATH])


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [(("127.0.0.1", 30), ("expired", "clock")), (("127.0.0.2", 0), ("127.0.0.1", "host name"))],
    ids=["expired", "host"],
)
def test_an_expired_certificate_and_one_for_another_host_are_told_apart(
    certificate: tuple[str, int], expected: tuple[str, str], math: StaticTree,
    authority: Authority, opened: Open, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    (address, days), (reason, hint) = certificate, expected
    since = datetime.now(UTC) - timedelta(days=days)
    with (
        serving(math.folder, authority.server_context(address, since=since)) as server,
        pytest.raises(UnreachableRegistryError, match=reason) as failed,
    ):
        opened(server.url).releases([MATH])
    assert hint in (failed.value.hint or "")


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe"])
def test_a_file_without_certificates_is_an_error_that_names_the_variable(
    content: bytes | None, secure: FaultyServer, opened: Open, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        opened(secure.url).releases([MATH])


def test_https_is_not_left_by_a_redirect(
    secure: FaultyServer, server: FaultyServer, authority: Authority, opened: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    secure.fault("config", status(302, location=f"{server.url}/config.json"))
    with pytest.raises(BadReplyError, match="redirect from https"):
        _ = opened(secure.url).config
    assert server.requests == []
    server.fault("config", status(302, location=f"{secure.url}/config.json"))
    assert opened(server.url).config


def test_https_goes_through_the_proxy_of_the_environment(
    secure: FaultyServer, authority: Authority, proxy: TunnelProxy, opened: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass%20word@127.0.0.1:{proxy.port}")
    assert opened(secure.url).releases([MATH])
    place = secure.url.removeprefix("https://")
    credentials = base64.b64encode(b"me:pass word").decode()
    assert set(proxy.asked) == {("CONNECT", place, f"Basic {credentials}")}
    proxy.asked.clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert opened(secure.url).releases([MATH])
    assert proxy.asked == []


def test_a_proxy_that_refuses_is_named_without_its_password(
    secure: FaultyServer, proxy: TunnelProxy, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.refuses = True
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hidden@127.0.0.1:{proxy.port}")
    with pytest.raises(UnreachableRegistryError, match="407") as failed:
        opened(secure.url).releases([MATH])
    assert "hidden" not in f"{failed.value.message}{failed.value.hint}"


@pytest.mark.parametrize("url", ["ftp://me:hidden@proxy", "http://me:hidden@proxy:x", "socks9://x"])
def test_a_proxy_of_an_unknown_kind_is_an_error_that_names_the_variables(
    url: str, secure: FaultyServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(UsageError, match="HTTPS_PROXY") as failed:
        opened(secure.url).releases([MATH])
    assert "hidden" not in failed.value.message
    assert os.environ["HTTPS_PROXY"] == url
