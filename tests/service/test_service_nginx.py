"""The configuration for nginx in docs/deploy, in front of a real server."""

import secrets
from collections.abc import Iterator

import pytest
from nginx_site import Site, nginx_site
from small_packs import small_pack

from skillpm.spec.digests import Digest
from skillpm.spec.served import blob_path, parse_index_document


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with nginx_site(tmp_path_factory.mktemp("nginx")) as started:
        yield started


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
