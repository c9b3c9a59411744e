"""The service on PostgreSQL and a bucket: `registry migrate` to it, uploads, URLs of blobs."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live_server import Api, Server, configured, initialized, running
from services import BUCKET, KEY, PostgresServer, make_bucket, moto
from skillpm_world import run_process, start_process
from small_packs import SmallPack, small_pack

from skillpm.spec.digests import Digest
from skillpm.spec.served import blob_path
from skillpm_registry.backend import Backend, BackendPlaces, open_backend

pytestmark = pytest.mark.services
PACKS = 40


@pytest.fixture(scope="module", autouse=True)
def _bucket() -> Iterator[None]:
    """A bucket, which the variables of this process and of the servers name."""
    pytest.importorskip("obstore")
    with moto() as address, pytest.MonkeyPatch.context() as variables:
        make_bucket(address)
        variables.setenv("AWS_ENDPOINT_URL", address)
        variables.setenv("AWS_ACCESS_KEY_ID", KEY)
        variables.setenv("AWS_SECRET_ACCESS_KEY", KEY)
        variables.setenv("AWS_REGION", "us-east-1")
        yield


def in_bucket(folder: Path, database: str) -> list[str]:
    """The arguments for a server with its blobs in a bucket."""
    arguments = configured(folder, database)
    path = Path(arguments[1])
    blobs = f"s3://{BUCKET}/{secrets.token_hex(6)}"
    path.write_text(path.read_text().replace(f'blobs = "{folder}"', f'blobs = "{blobs}"'))
    return arguments


@pytest.fixture(scope="module")
def served(
    cluster: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Api]]:
    folder = tmp_path_factory.mktemp("bucket")
    arguments = in_bucket(folder / "registry", cluster.new_database())
    token = initialized(arguments)
    with running(folder, *arguments) as server:
        yield server, server.client(token)


def test_blob_of_a_private_namespace_is_a_short_url_of_the_bucket(
    served: tuple[Server, Api],
) -> None:
    server, admin = served
    admin.namespace("secret", private=True)
    pack = small_pack("secret/math", data=secrets.token_bytes(100_000))
    admin.publish(pack)
    path = f"/blobs{blob_path(pack.layer)}"

    assert server.client().http.get(path).status_code == 404
    reader = server.client(admin.token("read", principal="stranger"))
    assert reader.http.get(path).status_code == 404
    answer = admin.http.get(path)

    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["cache-control"] == "no-store"
    url = httpx.URL(answer.headers["location"])
    assert f"http://{url.netloc.decode()}" == os.environ["AWS_ENDPOINT_URL"]
    assert 0 < int(url.params["X-Amz-Expires"]) <= 600
    assert "skillpm_" not in str(url)
    with httpx.Client(trust_env=False) as plain:  # No token goes to the bucket.
        assert plain.get(url).content == pack.blobs[pack.layer]
        part = plain.get(url, headers={"range": "bytes=99990-"})
    assert (part.status_code, part.content) == (206, pack.blobs[pack.layer][99990:])
    etag = admin.http.get(path, headers={"if-none-match": f'"{pack.layer.hex}"'})
    assert etag.status_code == 304


def test_upload_continues_after_the_server_was_killed(served: tuple[Server, Api]) -> None:
    server, admin = served
    admin.namespace("large")
    pack = small_pack("large/math", data=secrets.token_bytes(3_000_000))
    digest, data = pack.layer, pack.blobs[pack.layer]
    asked = {"digest": str(digest), "size": len(data), "namespace": "large"}
    session = admin.ask("POST", "/v1/uploads", 201, json=asked)
    admin.append(session["id"], 0, data[: 1 << 20])
    server.kill()
    server.start()
    token = admin.http.headers["authorization"].removeprefix("Bearer ")
    again = server.client(token)

    resumed = again.ask("POST", "/v1/uploads", 201, json=asked)
    assert (resumed["id"], resumed["offset"]) == (session["id"], 1 << 20)
    again.publish(pack)

    served_bytes = again.http.get(f"/blobs{blob_path(digest)}", follow_redirects=True).content
    assert hashlib.sha256(served_bytes).hexdigest() == digest.hex


def filled(folder: Path) -> tuple[str, list[SmallPack]]:
    """Fill a registry on SQLite and a folder. Returns an administrator's token, and the packs."""
    arguments = configured(folder)
    token = initialized(arguments)
    packs = [
        small_pack(f"acme/skill{number}", data=secrets.token_bytes(50_000))
        for number in range(PACKS)
    ]
    with running(folder / "server", *arguments) as server:
        api = server.client(token)
        api.namespace("acme")
        api.namespace("hidden", private=True)
        for pack in (*packs, small_pack("hidden/math")):
            api.publish(pack)
        api.ask("POST", "/v1/releases/acme/skill0/1.0.0/yank", 201, json={"reason": "old"})
    return token, packs


def stored(backend: Backend) -> dict[str, int]:
    """The blobs of a registry by its rows."""
    with backend.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT digest, size FROM blob")
        return {row.digest: row.size for row in rows}


def parts_of(arguments: list[str]) -> BackendPlaces:
    lines = Path(arguments[1]).read_text().splitlines()
    texts = dict(line.split(" = ") for line in lines if " = " in line)
    database, blobs, tree = (texts[name].strip('"') for name in ("database", "blobs", "static"))
    return BackendPlaces(database, blobs, tree)


@pytest.mark.slow
def test_migration_that_was_killed_continues_and_every_blob_is_verified(
    cluster: PostgresServer, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    token, packs = filled(old)
    arguments = in_bucket(tmp_path / "new", cluster.new_database())
    command = ("registry", "migrate", old, arguments[1], "--json")
    target = open_backend(parts_of(arguments), create=True)

    with start_process(*command) as process:
        while len(stored(target)) < 5:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.kill()
    copied = len(stored(target))
    with target.database.reading() as connection:
        releases = "SELECT count(*) FROM release"
        assert connection.exec_driver_sql(releases).scalar_one() == 0
    done = run_process(*command)

    source = open_backend(BackendPlaces.in_folder(old))
    expected = stored(source)
    source.close()
    assert done.code == 0, done
    assert 5 <= copied < len(expected)
    assert done.json["blobs"] == len(expected) - copied
    assert stored(target) == expected
    for name, size in expected.items():
        stream = target.blobs.open(Digest(name))
        assert stream is not None
        with stream:
            data = stream.read()
        assert (str(Digest.of(data)), len(data)) == (name, size)
    target.close()
    again = run_process(*command)
    assert again.code == 1
    assert "cannot receive" in again.error["message"]
    with running(tmp_path / "server", *arguments) as server:
        check_served(server, token, packs)


def check_served(server: Server, token: str, packs: list[SmallPack]) -> None:
    """The tokens, releases, states and private namespaces of the old registry are served."""
    admin, anybody = server.client(token), server.client()
    assert admin.ask("GET", "/v1/whoami")["principal"] == "admin"
    deadline = time.monotonic() + 60
    while anybody.http.get(f"/index/{packs[-1].skill}.json").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (entry,) = anybody.ask("GET", "/index/acme/skill0.json")["releases"]
    assert (entry["digest"], entry["state"]) == (str(packs[0].digest), "yanked")
    assert anybody.http.get("/index/hidden/math.json").status_code == 404
    assert admin.ask("GET", "/index/hidden/math.json")["releases"]
    assert len(anybody.ask("GET", "/v1/search", params={"q": "skill"})["results"]) == PACKS - 1
    later = admin.publish(small_pack("acme/skill1", "1.1.0"))
    assert later["position"] == PACKS + 1  # After the releases, and the yank.


@pytest.mark.slow
def test_migration_names_a_damaged_blob_and_publishes_nothing(
    cluster: PostgresServer, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    _, packs = filled(old)
    path = old / "blobs/sha256" / packs[7].layer.hex[:2] / packs[7].layer.hex
    path.write_bytes(bytes(path.stat().st_size))
    arguments = in_bucket(tmp_path / "new", cluster.new_database())

    refused = run_process("registry", "migrate", old, arguments[1], "--json")

    assert refused.code == 3
    assert packs[7].layer.hex in refused.error["message"]
    target = open_backend(parts_of(arguments))
    assert target.catalog.skills() == []
    assert target.blobs.size(packs[7].layer) is None
    target.close()


def test_registry_with_people_of_its_own_receives_no_other(
    cluster: PostgresServer, tmp_path: Path
) -> None:
    initialized(configured(tmp_path / "old"))
    arguments = in_bucket(tmp_path / "new", cluster.new_database())
    initialized(arguments)

    refused = run_process("registry", "migrate", tmp_path / "old", arguments[1], "--json")

    assert refused.code == 1
    assert "cannot receive" in refused.error["message"]
