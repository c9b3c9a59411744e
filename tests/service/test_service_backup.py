"""Backup and restore by the very commands of docs/how-to/registry/backup.md."""

import os
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from live_server import Api, Server, configured, initialized, running
from services import BUCKET, KEY, PostgresServer, make_bucket, moto
from small_packs import SmallPack, small_pack

from skillpm.spec.served import blob_path

pytestmark = pytest.mark.services
DOCUMENT = Path(__file__).parents[2] / "docs/how-to/registry/backup.md"


def commands(title: str) -> list[str]:
    """The commands of the first code block after a line of the document."""
    text = DOCUMENT.read_text()
    block = text[text.index(f"\n{title}\n") :].partition("```console\n")[2].partition("```")[0]
    return [line.removeprefix("$ ") for line in block.splitlines()]


def run(title: str, places: dict[str, str]) -> None:
    """Run the commands with other places; those of skillpm are run by the test itself."""
    for line in commands(title):
        command = line
        for old, new in places.items():
            command = command.replace(old, new)
        tool = re.split(r"\s", command)[0]
        if tool != "skillpm":
            if shutil.which(tool) is None:
                pytest.skip(f"`{tool}` is not installed")
            subprocess.run(["sh", "-ec", command], check=True)


def publish_some(api: Api) -> list[SmallPack]:
    api.namespace("acme")
    api.namespace("hidden", private=True)
    names = ("acme/math", "acme/text", "hidden/math")
    packs = [small_pack(name, data=secrets.token_bytes(10_000)) for name in names]
    for pack in packs:
        api.publish(pack)
    api.ask("POST", "/v1/releases/acme/text/1.0.0/yank", 201, json={"reason": "old"})
    return packs


def check_restored(server: Server, token: str, packs: list[SmallPack], late: SmallPack) -> None:
    """What was backed up is served, what came later is gone, and can be published again."""
    admin, anybody = server.client(token), server.client()
    deadline = time.monotonic() + 120
    while anybody.http.get("/index/acme/text.json").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (entry,) = admin.ask("GET", "/index/acme/text.json")["releases"]
    assert (entry["digest"], entry["state"]) == (str(packs[1].digest), "yanked")
    assert [row["version"] for row in admin.ask("GET", "/index/acme/math.json")["releases"]] == [
        "1.0.0"
    ]
    anybody.ask("GET", "/index/hidden/math.json", 404)
    for pack in packs:
        for digest, data in {**pack.blobs, pack.digest: pack.image}.items():
            path = f"/blobs{blob_path(digest)}"
            assert admin.http.get(path, follow_redirects=True).content == data
    published = admin.publish(late)
    assert published["created"]
    assert published["position"] is not None


def test_sqlite_and_a_folder_are_restored(tmp_path: Path) -> None:
    registry, backup = tmp_path / "registry", tmp_path / "backup"
    arguments = configured(registry)
    places = {"/srv/skillpm": str(registry), "/backup": str(backup)}
    token = initialized(arguments)
    late = small_pack("acme/math", "1.1.0")
    backup.mkdir()
    with running(tmp_path / "server", *arguments) as server:
        packs = publish_some(server.client(token))
        run("## SQLite and a folder", places)
        server.client(token).publish(late)
    shutil.rmtree(registry / "blobs")
    (registry / "registry.db").write_bytes(b"damaged")
    run("SQLite and a folder:", places)

    with running(tmp_path / "server", *arguments) as server:
        check_restored(server, token, packs, late)
    assert sorted((registry / "public/index").rglob("*.json"))


@pytest.mark.slow
def test_postgresql_and_a_bucket_are_restored(
    cluster: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join([*map(str, binaries[-1:]), os.environ["PATH"]])
    cluster.execute("CREATE DATABASE skillpm TEMPLATE template0")
    backup = tmp_path / "backup"
    backup.mkdir()
    places = {"s3://skills": f"s3://{BUCKET}", "/backup": str(backup)}
    with moto() as address:
        make_bucket(address)
        for name, value in {
            "PATH": path, "PGHOST": "127.0.0.1", "PGPORT": str(cluster.port), "PGUSER": "skillpm",
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        arguments = configured(tmp_path / "registry", cluster.url("skillpm"))
        file = Path(arguments[1])
        for name, old in (("blobs", ""), ("static", "/public")):
            line = f'{name} = "{tmp_path}/registry{old}"'
            assert line in file.read_text()
            file.write_text(file.read_text().replace(line, f'{name} = "s3://{BUCKET}{old}"'))
        token = initialized(arguments)
        late = small_pack("acme/math", "1.1.0")
        with running(tmp_path / "server", *arguments) as server:
            packs = publish_some(server.client(token))
            run("## PostgreSQL and a bucket", places)
            server.client(token).publish(late)
        cluster.execute("DROP DATABASE skillpm")
        subprocess.run(["aws", "s3", "rm", "--recursive", f"s3://{BUCKET}/blobs"], check=True)
        run("PostgreSQL and a bucket:", places)

        with running(tmp_path / "server", *arguments) as server:
            check_restored(server, token, packs, late)
