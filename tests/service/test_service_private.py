"""A namespace that becomes private: nothing public names it afterwards."""

import secrets
from pathlib import Path

import pytest
from live_server import Api, Server, configured
from small_packs import small_pack

from skillpm.spec.served import blob_path
from skillpm_registry.app.background import REBUILD, rebuild_search
from skillpm_registry.app.service import now_in_utc
from skillpm_registry.backend import Backend, BackendPlaces, open_backend


def tree_of(server: Server) -> Path:
    """The static tree of a server."""
    lines = Path(server.arguments[-1]).read_text().splitlines()
    return Path(next(line for line in lines if line.startswith("static")).split('"')[1])


def test_documents_of_a_namespace_that_becomes_private_leave_the_tree(
    server: Server, admin: Api, anybody: Api
) -> None:
    space = f"t{secrets.token_hex(6)}"
    admin.namespace(space, owner="alice")
    data = space.encode()  # Other tests publish the usual bytes in public namespaces.
    packs = [small_pack(f"{space}/math", version, data=data) for version in ("1.0.0", "1.1.0")]
    for pack in packs:
        admin.publish(pack)
    tree = tree_of(server)
    documents = sorted(tree.glob(f"index/{space}/**/*.json"))
    immutable = [f"/index/{space}/math/{path.name}" for path in documents if path.stem != "math"]
    assert len(documents) == 3, "one document, its immutable form, and the replaced one"
    assert space in anybody.ask("GET", "/config.json")["namespaces"]

    changed = admin.ask("PATCH", f"/v1/namespaces/{space}", json={"private": True})

    assert changed["private"]
    assert list(tree.glob(f"index/{space}/**/*.json")) == []
    assert space not in (tree / "config.json").read_text()
    assert space not in anybody.http.get("/config.json").text
    for path in (f"/index/{space}/math.json", *immutable, f"/v1/namespaces/{space}"):
        anybody.ask("GET", path, 404)
    for digest in (packs[0].digest, *packs[1].blobs):
        anybody.ask("GET", f"/blobs{blob_path(digest)}", 404)
    assert not anybody.ask("GET", "/v1/search", params={"q": space})["results"]
    assert space not in anybody.http.get("/v1/events").text
    assert len(admin.ask("GET", f"/index/{space}/math.json")["releases"]) == 2
    assert admin.publish(small_pack(f"{space}/math", "1.2.0"))["position"] == 0, "in its own log"
    assert list(tree.glob(f"index/{space}/**/*.json")) == []


def test_only_owners_make_a_namespace_private_and_none_makes_it_public(
    server: Server, admin: Api, anybody: Api
) -> None:
    space = f"t{secrets.token_hex(6)}"
    admin.namespace(space, owner=f"o{space}")
    path = f"/v1/namespaces/{space}"
    member = {"principal": f"m{space}", "role": "maintainer"}
    admin.ask("POST", f"{path}/members", json=member)
    maintainer = server.client(admin.token("admin", principal=f"m{space}"))
    owner = server.client(admin.token("admin", principal=f"o{space}"))

    anybody.ask("PATCH", path, 401, json={"private": True})
    maintainer.ask("PATCH", path, 403, json={"private": True})
    owner.ask("PATCH", "/v1/namespaces/no-such-space", 404, json={"private": True})
    owner.ask("PATCH", path, 400, json={"private": "yes"})
    assert not owner.ask("PATCH", path, json={"private": False})["private"]
    for _ in range(2):
        assert owner.ask("PATCH", path, json={"private": True})["private"]
    problem = owner.ask("PATCH", path, 409, json={"private": False})

    assert "public log" in problem["detail"]
    anybody.ask("PATCH", path, 404, json={"private": True})


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    configured(tmp_path / "registry")
    return open_backend(BackendPlaces.in_folder(tmp_path / "registry"), create=True)


def test_services_of_one_database_rebuild_search_once_a_day(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = now_in_utc()
    assert rebuild_search(backend, now)
    assert not rebuild_search(backend, now + REBUILD / 2)

    with monkeypatch.context() as broken:
        broken.setattr(type(backend.search), "rebuild", lambda *_a, **_k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rebuild_search(backend, now + REBUILD)
    assert rebuild_search(backend, now + REBUILD), "a failure does not count"
    backend.close()


def test_sweep_counts_dependents_again(server: Server, admin: Api) -> None:
    space = f"t{secrets.token_hex(6)}"
    admin.namespace(space)
    admin.publish(small_pack(f"{space}/used"))
    admin.publish(small_pack(f"{space}/user", requires=[f"{space}/used@^1"]))
    database = open_backend(BackendPlaces.in_folder(tree_of(server).parent)).database
    query = f"SELECT dependents FROM search_row WHERE namespace = '{space}' ORDER BY name"  # noqa: S608

    def dependents() -> list[int]:
        with database.reading() as connection:
            return list(connection.exec_driver_sql(query).scalars())

    assert dependents() == [0, 0]
    admin.ask("POST", "/v1/sweep")

    assert dependents() == [1, 0]
    database.engine.dispose()
