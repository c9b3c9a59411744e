"""The service on PostgreSQL: rights, publishing, and a database that goes away."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live_server import Api, Server, configured, initialized, running
from services import PostgresServer
from small_packs import small_pack

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def served(
    cluster: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Api]]:
    folder = tmp_path_factory.mktemp("postgres")
    arguments = configured(folder / "registry", cluster.new_database())
    token = initialized(arguments)
    with running(folder, *arguments) as server:
        yield server, server.client(token)


def test_people_and_releases_work_on_postgresql(served: tuple[Server, Api]) -> None:
    server, admin = served
    space = f"p{secrets.token_hex(6)}"
    admin.namespace(space, private=True)
    admin.ask("POST", "/v1/namespaces", 409, json={"name": space})
    path = f"/v1/namespaces/{space}/members"
    admin.ask("POST", path, json={"principal": "bob", "role": "publisher"})
    admin.ask("POST", path, json={"principal": "bob", "role": "maintainer"})
    assert [row["role"] for row in admin.ask("GET", path)["members"]] == ["owner", "maintainer"]
    bob = server.client(
        admin.token("publish", "publish-new", "read", "yank", principal="bob", expires_in=60)
    )
    pack = small_pack(f"{space}/math")
    bob.publish(pack)
    assert not bob.publish(pack, 200)["created"]
    bob.publish(small_pack(f"{space}/math", data=b"other"), 409)
    assert bob.ask("GET", "/v1/search", params={"q": space})["results"]
    bob.ask("POST", f"/v1/releases/{space}/math/1.0.0/yank", 201, json={"reason": "old"})
    document = bob.ask("GET", f"/index/{space}/math.json")
    assert document["releases"][0]["state"] == "yanked"
    assert server.client().http.get(f"/index/{space}/math.json").status_code == 404
    assert not server.client().ask("GET", "/v1/search", params={"q": space})["results"]
    kinds = [e["kind"] for e in bob.ask("GET", "/v1/events")["events"] if e["namespace"] == space]
    assert kinds == ["namespace", "grant", "grant", "grant", "publish", "yank"]
    assert bob.ask("GET", "/v1/whoami")["roles"] == {space: "maintainer"}
    once = server.client(admin.token("publish-new", principal="bob"))
    once.publish(small_pack(f"{space}/new"))
    once.ask("GET", "/v1/whoami", 401)
    admin.ask("DELETE", f"{path}/bob", 204)
    bob.ask("GET", f"/index/{space}/math.json", 404)


def test_many_publishers_of_one_version_get_one_release(served: tuple[Server, Api]) -> None:
    server, admin = served
    space = f"p{secrets.token_hex(6)}"
    admin.namespace(space)
    token = admin.http.headers["authorization"].split()[1]

    def publish(number: int) -> int:
        api = server.client(token)
        pack = small_pack(f"{space}/math", data=bytes([number]))
        for digest, data in pack.blobs.items():
            api.upload(data, digest, space)
        return api.http.post("/v1/releases", content=pack.image).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(publish, range(8))) == [201, *[409] * 7]


def test_one_namespace_is_created_once_by_many(served: tuple[Server, Api]) -> None:
    server, admin = served
    name, token = f"p{secrets.token_hex(6)}", admin.http.headers["authorization"].split()[1]

    def create(_number: int) -> int:
        api = server.client(token)
        return api.http.post("/v1/namespaces", json={"name": name}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8))) == [201, *[409] * 7]


def cut_off(cluster: PostgresServer, database: str) -> None:
    """End all connections to a database, and refuse new ones."""
    cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    of_database = f"FROM pg_stat_activity WHERE datname = '{database}'"
    cluster.execute(f"SELECT pg_terminate_backend(pid) {of_database}")


def test_a_database_that_is_gone_is_a_503_and_comes_back(
    cluster: PostgresServer, tmp_path: Path
) -> None:
    url = cluster.new_database()
    arguments = configured(tmp_path / "registry", url)
    token = initialized(arguments)
    with running(tmp_path / "s", *arguments) as server:
        api = server.client(token)
        api.namespace("acme")
        api.publish(small_pack("acme/math"))
        cut_off(cluster, url.rpartition("/")[2])
        try:
            problem = server.client().ask("GET", "/v1/namespaces", 503)
            assert "127.0.0.1" not in problem["detail"]
            assert problem["retry"]
            server.client().ask("GET", "/readyz", 503)
            api.release(small_pack("acme/math", "1.1.0").image, 503)
            client = server.client().http
            assert client.get("/healthz").status_code == 200
            assert client.get("/index/acme/math.json").status_code == 200, "documents are files"
        finally:
            cluster.execute(f"ALTER DATABASE {url.rpartition('/')[2]} ALLOW_CONNECTIONS true")
        deadline = time.monotonic() + 30
        while api.http.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert api.publish(small_pack("acme/math", "1.1.0"))["position"] is not None
