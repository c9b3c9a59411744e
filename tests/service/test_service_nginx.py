"""The configuration for nginx in docs/deploy, in front of a real server."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_server import Api, Server, configured, initialized, running
from small_packs import small_pack

from skillpm.spec.digests import Digest
from skillpm.spec.served import blob_path, parse_index_document

REPOSITORY = Path(__file__).parents[2]
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/site.conf;
}}
"""


@dataclass
class Site:
    """nginx, the server behind it, and an administrator who goes through nginx."""

    server: Server
    url: str
    admin: Api
    anybody: Api

    def api(self, token: str) -> Api:
        return Api(self.url, token)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_site(folder: Path, backend: str, registry: Path, port: int) -> Path:
    """The documented configuration, with the addresses and folders of the test."""
    text = (REPOSITORY / "docs" / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("127.0.0.1:8765", backend.removeprefix("http://")),
        ("/srv/skillpm/public", f"{registry}/public"),
        ("/srv/skillpm/blobs/blobs/", f"{registry}/blobs/"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "site.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(MAIN.format(folder=folder, user=user))
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    head = 'accel_redirect = "/_blobs"\ntrusted_proxies = ["127.0.0.1"]'
    arguments = configured(folder / "registry", head=head)
    token = initialized(arguments)
    with running(folder, *arguments) as server:
        port = _free_port()
        path = write_site(folder, server.url, folder / "registry", port)
        subprocess.run([nginx, "-t", "-q", "-c", str(path)], check=True)
        process = subprocess.Popen([nginx, "-c", str(path)])
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield Site(server, url, Api(url, token), Api(url))
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_a_pack_is_published_and_read_through_nginx(site: Site) -> None:
    site.admin.namespace("acme")
    pack = small_pack("acme/math", data=secrets.token_bytes(3_000_000))
    site.admin.publish(pack)
    response = site.anybody.http.get("/index/acme/math.json")
    assert response.headers["cache-control"] == "max-age=10"
    assert response.headers["content-type"] == "application/json"
    assert "x-request-id" not in response.headers, "the service was not asked"
    document = parse_index_document(response.content)
    assert document.releases[0].digest == pack.digest
    etag = {"if-none-match": response.headers["etag"]}
    assert site.anybody.http.get("/index/acme/math.json", headers=etag).status_code == 304
    digest = Digest.of(response.content)
    immutable = site.anybody.http.get(f"/index/acme/math/{digest.hex}.json")
    assert immutable.content == response.content
    assert "immutable" in immutable.headers["cache-control"]
    for name, data in pack.blobs.items():
        blob = site.anybody.http.get(f"/blobs{blob_path(name)}")
        assert blob.content == data
        resumed = {"range": f"bytes=10-{len(data) - 1}", "if-range": blob.headers["etag"]}
        part = site.anybody.http.get(f"/blobs{blob_path(name)}", headers=resumed)
        assert (part.status_code, part.content) == (206, data[10:])


def test_private_namespaces_stay_private_behind_nginx(site: Site) -> None:
    site.admin.namespace("secret", private=True)
    pack = small_pack("secret/plan", data=secrets.token_bytes(100))
    site.admin.publish(pack)
    paths = ["/index/secret/plan.json", f"/blobs{blob_path(pack.digest)}"]
    for path in paths:
        assert site.anybody.http.get(path).status_code == 404
        assert site.admin.http.get(path).status_code == 200
    digest = next(iter(pack.blobs))
    internal = f"/_blobs{blob_path(digest)}"
    assert site.admin.http.get(internal).status_code == 404
    for trick in (
        "/_blobs/../registry.db",
        "/index/../../registry.db",
        "/index/%2e%2e/registry.db",
    ):
        assert site.admin.http.get(trick).status_code in (400, 404)


def test_everything_else_reaches_the_service(site: Site) -> None:
    assert site.anybody.ask("GET", "/readyz") == {"status": "ready"}
    assert site.anybody.http.get("/metrics").status_code == 200
    assert site.anybody.http.get("/config.json").json()["url"] == "http://skills.test"
    assert site.anybody.ask("GET", "/nothing", 404)["kind"] == "not_found"
    response = site.anybody.http.post("/v1/tokens", content=b"x" * 10_000_000)
    assert response.status_code == 413


def test_the_service_sees_the_client_behind_nginx(site: Site) -> None:
    response = site.anybody.http.get("/v1/search", headers={"x-forwarded-for": "203.0.113.9"})
    assert response.status_code == 200
    assert len(response.headers["x-request-id"]) == 32
