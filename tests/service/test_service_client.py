"""The client's commands against the real service: publish, yank, search, accounts, and kills."""

import io
import json
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cutting_proxy import CuttingProxy, proxying
from live_server import Api, Server, configured, running
from skillpm_world import World, start_process
from small_packs import SmallPack, small_pack, tuned_pack

from skillpm.archive.writer import write_archive
from skillpm.spec.served import blob_path

CHUNK = 1 << 20
OVERHEAD = 64 << 10
"""Bytes of the headers and documents of one command, at most."""


def test_publish_install_yank_and_search_over_http(
    world: World, base: Path, user: str, namespace: str
) -> None:
    sums, more = f"{namespace}/sums", f"{namespace}/more"
    first = tuned_pack(world, base, sums, "mlp", "1.0.0")
    published = world.ask("publish", first)
    assert (published["skill"], published["version"], published["created"]) == (sums, "1.0.0", True)
    assert world.ask("publish", first)["created"] is False, "publishing again changes nothing"
    world.ask(
        "publish", tuned_pack(world, base, more, "lm_head", "1.0.0", "--requires", f"{sums} ^1")
    )
    installed = world.ask("install", more)
    assert [each["skill"] for each in installed["added"]] == [more, sums]
    world.graft_root()
    world.ask("publish", tuned_pack(world, base, sums, "self_attn", "1.1.0"))
    assert [each["version"] for each in world.ask("show", sums)["releases"]] == ["1.0.0", "1.1.0"]
    outdated = world.ask("outdated")["outdated"]
    assert [(row["skill"], row["latest"]) for row in outdated] == [(sums, "1.1.0")]
    world.ask("yank", f"{sums}@1.1.0", "--reason", "overfits")
    assert world.ask("outdated")["outdated"] == [], "a yank is seen at once"
    listed = world.ask("show", sums)["releases"]
    assert [(row["yanked"], row["yank_reason"]) for row in listed] == [
        (False, ""),
        (True, "overfits"),
    ]
    world.ask("unyank", f"{sums}@1.1.0")
    world.ask("upgrade")
    assert world.installed() == {sums: "1.1.0", more: "1.0.0"}
    found = world.ask("search", "sums")["results"]
    assert sums in [row["skill"] for row in found]


def test_another_pack_of_a_published_version_is_refused(
    world: World, base: Path, user: str, namespace: str
) -> None:
    name = f"{namespace}/sums"
    world.ask("publish", tuned_pack(world, base, name, "mlp", "1.0.0"))
    other = tuned_pack(world, base, name, "lm_head", "1.0.0")
    text = world.fail("publish", other, code=1, kind="registry")
    assert name in text


def test_audit_reports_advisories_and_yanks_of_a_served_registry(
    world: World, base: Path, user: str, namespace: str, admin: Api
) -> None:
    name = f"{namespace}/sums"
    world.ask("publish", tuned_pack(world, base, name, "mlp", "1.0.0"))
    world.ask("install", name)
    affected = [{"package": {"ecosystem": "skillpm", "name": name}, "versions": ["1.0.0"]}]
    advisory = {"id": f"SK-{namespace}", "modified": "2026-01-01T00:00:00Z", "affected": affected,
                "summary": "leaks"}  # fmt: skip
    admin.ask("POST", "/v1/advisories", json=advisory)
    world.ask("yank", f"{name}@1.0.0", "--reason", "leaks")
    document = world.ask("audit", "--fail-on", "high", code=3)
    codes = {row["code"] for row in document["findings"]}
    assert {"advisory", "yanked"} <= codes


def test_a_token_for_another_namespace_is_refused(
    world: World, base: Path, user: str, namespace: str, admin: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    token = admin.token("read", "publish", patterns=["other/*"])
    monkeypatch.setenv("SKILLPM_TOKEN", token)
    pack = tuned_pack(world, base, f"{namespace}/sums", "mlp", "1.0.0")
    text = world.fail("publish", pack, code=1, kind="auth")
    assert token not in text
    monkeypatch.delenv("SKILLPM_TOKEN")
    assert "skillpm login" in world.fail("publish", pack, code=1, kind="auth")


def test_private_skills_are_for_those_who_may_read_them(
    world: World, base: Path, user: str, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"p{secrets.token_hex(6)}"
    admin.namespace(name, private=True)
    skill = f"{name}/secret"
    world.ask("publish", tuned_pack(world, base, skill, "mlp", "1.0.0"))
    world.ask("install", skill)
    world.graft_root()
    monkeypatch.delenv("SKILLPM_TOKEN")
    monkeypatch.setenv("SKILLPM_HOME", str(world.folder / "stranger"))
    world.fail("show", skill, code=4, kind="not_found")
    assert skill not in json.dumps(world.ask("search", "secret"))


def test_login_stores_a_token_for_the_origin(
    world: World, server: Server, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = admin.token("read", expires_in=3600)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
    document = world.ask("login", "--registry", server.url)
    assert document.keys() == {"schema_version", "registry", "principal", "expires"}
    assert document["registry"] == server.url
    assert world.ask("whoami", "--registry", server.url) == document
    whole = world.run("whoami", "--registry", server.url)
    assert document["principal"] in whole.out
    assert token not in whole.out + whole.err
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    world.fail("whoami", "--registry", elsewhere, code=1, kind="auth")
    assert world.ask("logout", "--registry", server.url)["removed"] is True
    assert world.ask("logout", "--registry", server.url)["removed"] is False
    world.fail("whoami", "--registry", server.url, code=1, kind="auth")


def test_a_false_token_is_not_stored(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("skillpm_false", "", "a b", "x" * 9000):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        outcome = world.run("login", "--registry", server.url, "--json")
        assert outcome.code in (1, 2)
        assert outcome.error["kind"] in ("auth", "usage")
    assert not (world.home / "credentials").exists()


def test_a_revoked_token_is_refused_with_a_hint(
    world: World, server: Server, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = admin.ask("POST", "/v1/tokens", 201, json={"actions": ["read"], "patterns": ["*"]})
    monkeypatch.setenv("SKILLPM_TOKEN", created["token"])
    world.ask("whoami", "--registry", server.url)
    admin.ask("DELETE", f"/v1/tokens/{created['id']}", 204)
    text = world.fail("whoami", "--registry", server.url, code=1, kind="auth")
    assert created["token"] not in text


# Uploads


@dataclass(frozen=True)
class LargePack:
    """A pack file with a payload of 8 MB in one blob, which no server has."""

    path: Path
    skill: str
    pack: SmallPack

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def check(self, api: Api) -> None:
        """The registry serves the payload."""
        for digest, data in self.pack.blobs.items():
            assert api.http.get(f"/blobs{blob_path(digest)}").content == data


@pytest.fixture
def large(world: World, namespace: str) -> LargePack:
    skill = f"{namespace}/large"
    pack = small_pack(skill, data=secrets.token_bytes(8 * CHUNK))
    path = world.folder / "large.skillpack"
    write_archive(path, pack.image, pack.version, pack.blobs)
    return LargePack(path, skill, pack)


@pytest.fixture
def proxy(server: Server, user: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    with proxying(server.url) as proxy:
        monkeypatch.setenv("SKILLPM_REGISTRY", proxy.url)
        yield proxy


def test_an_upload_that_is_cut_sends_at_most_one_chunk_again(
    world: World, large: LargePack, proxy: CuttingProxy, anybody: Api
) -> None:
    proxy.cuts = [3 * CHUNK // 2] * 3
    world.ask("publish", large.path)
    assert proxy.cuts == []
    assert proxy.sent <= large.size + 3 * CHUNK + OVERHEAD
    large.check(anybody)


def test_a_killed_publish_continues_its_upload(
    world: World, large: LargePack, proxy: CuttingProxy, anybody: Api
) -> None:
    proxy.hold = 5 * CHUNK // 2
    with start_process("publish", large.path) as process:
        assert proxy.held.wait(300)
        process.send_signal(signal.SIGKILL)
    proxy.resume.set()
    world.fail("show", large.skill, code=4, kind="not_found")
    proxy.sent = 0
    world.ask("publish", large.path)
    assert proxy.sent <= large.size - 2 * CHUNK + OVERHEAD
    large.check(anybody)
    proxy.sent = 0
    assert world.ask("publish", large.path)["created"] is False
    assert proxy.sent <= OVERHEAD, "blobs that are present are not sent"


def test_a_publish_outlives_a_killed_server(
    world: World, large: LargePack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    arguments = configured(folder / "registry")
    created = world.ask("registry", "init", *arguments)
    monkeypatch.setenv("SKILLPM_TOKEN", created["token"])
    with running(folder, *arguments) as own, proxying(own.url) as proxy:
        monkeypatch.setenv("SKILLPM_REGISTRY", proxy.url)
        own.client(created["token"]).namespace(large.pack.namespace)
        proxy.hold = 5 * CHUNK // 2
        with start_process("publish", large.path, "--json") as process:
            assert proxy.held.wait(300)
            own.kill()
            own.start()
            proxy.target = own.url
            proxy.resume.set()
            out, err = process.communicate(timeout=300)
        assert process.returncode == 0, (out, err)
        assert json.loads(out)["created"] is True
        assert proxy.sent <= large.size + CHUNK + OVERHEAD
        large.check(own.client())
