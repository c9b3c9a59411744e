"""Uploads and releases over HTTP, on a real server."""

import hashlib
import secrets

import httpx
import pytest
from live_server import Api, Server, fresh
from small_packs import small_pack

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.served import (
    blob_path,
    index_path,
    index_path_of_digest,
    parse_config,
    parse_index_document,
)


def test_a_published_release_is_in_the_index_at_once(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math")
    published = admin.publish(pack)
    assert published["created"]
    assert published["digest"] == str(pack.digest)
    assert published["position"] is not None
    response = anybody.http.get(f"/index/{space}/math.json")
    assert response.status_code == 200
    document = parse_index_document(response.content)
    (entry,) = document.releases
    assert (str(entry.version), entry.digest, entry.state) == ("1.0.0", pack.digest, "live")
    assert entry.position == published["position"]
    assert entry.payload_bytes > 0
    immutable = index_path_of_digest(SkillName(space, "math"), Digest.of(response.content))
    again = anybody.http.get(f"/index{immutable}")
    assert again.content == response.content
    assert "immutable" in again.headers["cache-control"]
    for digest, data in {**pack.blobs, pack.digest: pack.image}.items():
        assert anybody.http.get(f"/blobs{blob_path(digest)}").content == data


def test_the_config_names_the_parts_and_the_public_namespaces(admin: Api, anybody: Api) -> None:
    public, private = fresh(admin), fresh(admin, private=True)
    config = parse_config(anybody.http.get("/config.json").content)
    assert config.url == "http://skills.test"
    assert config.parts.index == "http://skills.test/index"
    assert public in config.namespaces
    assert private not in config.namespaces


def test_publishing_is_idempotent_by_digest_and_a_version_never_changes(admin: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math")
    first = admin.publish(pack)
    again = admin.publish(pack, 200)
    assert not again["created"]
    assert again["digest"] == first["digest"]
    other = small_pack(f"{space}/math", data=b"other")
    problem = admin.publish(other, 409)
    assert problem["kind"] == "registry"
    assert "immutable" in problem["detail"]


def test_statuses_of_releases_and_uploads_are_documented(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math")
    admin.publish(pack)
    paths = anybody.ask("GET", "/openapi.json")["paths"]
    template = "/v1/releases/{namespace}/{name}/{version}"
    for change in ("yank", "unyank", "quarantine", "release"):
        body = {"json": {"reason": ""}} if change in ("yank", "quarantine") else {}
        for status in (201, 200):  # Changed, and as it was.
            admin.ask("POST", f"/v1/releases/{space}/math/1.0.0/{change}", status, **body)
            assert str(status) in paths[f"{template}/{change}"]["post"]["responses"]
    wrong = {"digest": str(pack.layer), "size": 0, "namespace": space}
    admin.ask("POST", "/v1/uploads", 422, json=wrong)
    assert "422" in paths["/v1/uploads"]["post"]["responses"]


def test_a_304_answers_a_known_etag(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    admin.publish(small_pack(f"{space}/math"))
    path = f"/index{index_path(SkillName(space, 'math'))}"
    etag = anybody.http.get(path).headers["etag"]
    for value in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = anybody.http.get(path, headers={"if-none-match": value})
        assert (response.status_code, response.content) == (304, b"")
    admin.publish(small_pack(f"{space}/math", "1.1.0"))
    assert anybody.http.get(path, headers={"if-none-match": etag}).status_code == 200


def test_blobs_answer_ranges_and_if_range(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math", data=secrets.token_bytes(100_000))
    admin.publish(pack)
    digest, data = list(pack.blobs.items())[1]
    path = f"/blobs{blob_path(digest)}"
    whole = anybody.http.get(path)
    assert whole.content == data
    assert whole.headers["etag"] == f'"{digest.hex}"'
    part = anybody.http.get(path, headers={"range": "bytes=1000-"})
    assert (part.status_code, part.content) == (206, data[1000:])
    assert part.headers["content-range"] == f"bytes 1000-{len(data) - 1}/{len(data)}"
    same = {"range": "bytes=5-9", "if-range": whole.headers["etag"]}
    assert anybody.http.get(path, headers=same).content == data[5:10]
    stale = {"range": "bytes=5-9", "if-range": '"other"'}
    assert anybody.http.get(path, headers=stale).content == data
    beyond = anybody.http.get(path, headers={"range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    head = anybody.http.head(path)
    assert head.headers["content-length"] == str(len(data))
    assert anybody.http.get(path, headers={"if-none-match": f'"{digest.hex}"'}).status_code == 304


def test_an_upload_continues_where_it_was_cut(admin: Api) -> None:
    space = fresh(admin)
    data = secrets.token_bytes(3000)
    digest = Digest.of(data)
    plain = {"digest": str(digest), "size": len(data), "namespace": space}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)
    assert (session["state"], session["offset"]) == ("open", 0)
    assert admin.append(session["id"], 0, data[:1000])["offset"] == 1000
    again = admin.ask("POST", "/v1/uploads", 201, json=plain)
    assert (again["id"], again["offset"]) == (session["id"], 1000)
    wrong = admin.append(session["id"], 1500, data[1500:2000], 409)
    assert wrong["offset"] == 1000
    assert admin.append(session["id"], 0, data[:1000], 409)["offset"] == 1000
    assert admin.ask("PUT", f"/v1/uploads/{session['id']}", 409)["offset"] == 1000
    admin.append(session["id"], 1000, data[1000:])
    assert admin.ask("GET", f"/v1/uploads/{session['id']}")["offset"] == 3000
    assert admin.ask("PUT", f"/v1/uploads/{session['id']}")["state"] == "present"
    assert admin.ask("POST", "/v1/uploads", json=plain)["state"] == "present"
    admin.ask("GET", f"/v1/uploads/{session['id']}", 404)


def test_bytes_with_another_digest_never_become_a_blob(admin: Api) -> None:
    space = fresh(admin)
    digest = Digest.of(b"promised")
    plain = {"digest": str(digest), "size": 8, "namespace": space}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)
    admin.append(session["id"], 0, b"deceived")
    problem = admin.ask("PUT", f"/v1/uploads/{session['id']}", 422)
    assert problem["kind"] == "integrity"
    admin.ask("GET", f"/blobs{blob_path(digest)}", 404)
    assert admin.ask("POST", "/v1/uploads", 201, json=plain)["offset"] == 0


def test_more_bytes_than_promised_are_refused(admin: Api) -> None:
    space = fresh(admin)
    plain = {"digest": str(Digest.of(b"12345678")), "size": 8, "namespace": space}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)
    admin.append(session["id"], 0, b"123456789", 422)
    assert admin.ask("GET", f"/v1/uploads/{session['id']}")["offset"] == 0


def test_an_upload_can_be_aborted(admin: Api) -> None:
    space = fresh(admin)
    plain = {"digest": str(Digest.of(b"x")), "size": 1, "namespace": space}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)
    admin.ask("DELETE", f"/v1/uploads/{session['id']}", 204)
    admin.ask("GET", f"/v1/uploads/{session['id']}", 404)


def test_a_release_needs_all_its_blobs(admin: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math", data=secrets.token_bytes(10))
    config, layer = pack.blobs.items()
    admin.upload(config[1], config[0], space)
    problem = admin.release(pack.image, 409)
    assert "not in the registry" in problem["detail"]
    admin.upload(layer[1], layer[0], space)
    admin.release(pack.image)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b"{" * 1000, b"null"])
def test_a_malformed_manifest_is_a_400(admin: Api, body: bytes) -> None:
    problem = admin.release(body, 400)
    assert problem["kind"] == "spec"


def test_yank_and_quarantine_change_the_index_and_keep_the_bytes(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math")
    admin.publish(pack)
    path = f"/v1/releases/{space}/math/1.0.0"

    def state() -> tuple[str, str]:
        content = anybody.http.get(f"/index/{space}/math.json").content
        (entry,) = parse_index_document(content).releases
        return entry.state, entry.reason

    yanked = admin.ask("POST", f"{path}/yank", json={"reason": "overfits"}, status=201)
    assert (yanked["state"], yanked["reason"]) == ("yanked", "overfits")
    assert state() == ("yanked", "overfits")
    admin.ask("POST", f"{path}/unyank", 201)
    assert state() == ("live", "")
    admin.ask("POST", f"{path}/quarantine", 201, json={"reason": "malware"})
    assert state() == ("quarantined", "malware")
    assert anybody.http.get(f"/blobs{blob_path(pack.digest)}").status_code == 200
    admin.ask("POST", f"{path}/release", 201)
    assert state()[0] == "live"
    admin.ask("POST", f"/v1/releases/{space}/math/9.9.9/yank", 404, json={})
    admin.ask("POST", f"/v1/releases/{space}/math/one/yank", 400, json={})


def test_the_static_tree_has_what_the_service_answers(
    admin: Api, anybody: Api, server: Server
) -> None:
    space = fresh(admin)
    admin.publish(small_pack(f"{space}/math"))
    tree = server.folder / "registry" / "public"
    for path in ("config.json", "advisories/all.json", f"index/{space}/math.json"):
        assert anybody.http.get(f"/{path}").content == (tree / path).read_bytes()


def test_a_blob_path_has_the_right_prefix(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    pack = small_pack(f"{space}/math")
    admin.publish(pack)
    wrong = "00" if pack.digest.hex[:2] != "00" else "01"
    anybody.ask("GET", f"/blobs/sha256/{wrong}/{pack.digest.hex}", 404)
    anybody.ask("GET", "/blobs/sha256/xx/yy", 404)
    anybody.ask("GET", f"/blobs/sha256/aa/{hashlib.sha256().hexdigest()}", 404)


def test_two_publishers_of_one_version_get_one_release(admin: Api) -> None:
    from concurrent.futures import ThreadPoolExecutor

    space = fresh(admin)
    packs = [small_pack(f"{space}/math", data=bytes([number])) for number in range(8)]

    def publish(number: int) -> int:
        api = Api(str(admin.http.base_url), admin.http.headers["authorization"].split()[1])
        pack = packs[number]
        for digest, data in pack.blobs.items():
            api.upload(data, digest, space)
        response: httpx.Response = api.http.post("/v1/releases", content=pack.image)
        return response.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(publish, range(8)))
    assert statuses == [201, *[409] * 7]
