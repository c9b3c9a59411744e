"""Commands with registries over HTTP: a tree of files behind a web server."""

import pytest
from served_registry import FaultyServer, cut_after, problem, serving
from skillpm_world import World, snapshot
from static_tree import StaticTree

from skillpm.spec.versions import Version


def test_install_from_static_files_fetches_what_is_missing_and_nothing_else(
    world: World, server: FaultyServer
) -> None:
    installed = world.ask("install", "acme/b", "acme/c", "--registry", server.url)
    assert [each["skill"] for each in installed["added"]] == ["acme/a", "acme/b", "acme/c"]
    assert world.installed() == {"acme/a": "1.0.0", "acme/b": "1.0.0", "acme/c": "1.0.0"}
    blobs = server.paths("/blobs/")
    assert blobs
    assert len(blobs) == len(set(blobs)), "each blob is asked for once"
    assert len(server.paths("/config.json")) == 1
    server.requests.clear()
    world.ask("uninstall", "acme/b", "--registry", server.url)
    world.ask("install", "acme/b", "--registry", server.url)
    assert not server.paths("/blobs/"), "the store has the blobs"


def test_a_locked_and_stored_set_opens_no_registry(world: World, server: FaultyServer) -> None:
    world.ask("install", "acme/c", "--registry", server.url)
    server.requests.clear()
    for command in (("install",), ("install", "--frozen"), ("install", "--dry-run"), ("list",)):
        world.ask(*command, "--registry", server.url)
    world.graft_root()
    assert server.requests == []


def test_index_documents_that_did_not_change_are_not_sent_again(
    world: World, server: FaultyServer
) -> None:
    world.ask("install", "acme/c", "--registry", server.url)
    server.requests.clear()
    world.ask("outdated", "--registry", server.url)
    assert server.requests
    assert {seen.status for seen in server.requests} == {304}
    assert sum(seen.sent for seen in server.requests) == 0
    server.server.headers["cache-control"] = "max-age=600"
    world.ask("outdated", "--registry", server.url)
    server.requests.clear()
    world.ask("outdated", "--registry", server.url)
    assert server.requests == [], "fresh documents need no request"


def test_offline_commands_use_the_documents_of_earlier_ones(
    world: World, server: FaultyServer
) -> None:
    world.ask("install", "acme/c", "--registry", server.url)
    server.requests.clear()
    shown = world.ask("show", "acme/a", "--registry", server.url, "--offline")
    assert [each["version"] for each in shown["releases"]] == ["1.0.0"]
    world.ask("audit", "--registry", server.url, "--offline")
    text = world.fail(
        "show", "acme/b", "--registry", server.url, "--offline", code=5, kind="registry"
    )
    assert "--offline" in text
    world.ask("uninstall", "acme/c", "--offline", "--registry", server.url)
    world.ask("install", "acme/c", "--offline", "--registry", server.url)
    assert server.requests == []


def test_static_files_are_read_only(world: World, server: FaultyServer) -> None:
    pack = world.folder / "acme-a-1.0.0.skillpack"
    release = "acme/a@1.0.0"
    for command in (("publish", pack), ("yank", release), ("unyank", release), ("search", "a")):
        text = world.fail(*command, "--registry", server.url, code=1, kind="registry")
        assert "serves static files only" in text
    assert {seen.method for seen in server.requests} == {"GET"}


def test_doctor_checks_that_the_registry_answers(world: World, server: FaultyServer) -> None:
    text = world.run("doctor", "--registry", server.url).out
    assert f"a registry in {server.url}" in text
    text = world.run("doctor", "--registry", "http://127.0.0.1:9").out
    assert "cannot be reached" in text


def test_an_unknown_skill_of_a_static_registry_has_exit_code_4(
    world: World, server: FaultyServer
) -> None:
    world.fail("install", "acme/missing", "--registry", server.url, code=4, kind="not_found")
    world.fail("show", "acme/missing", "--registry", server.url, code=4, kind="not_found")
    before = snapshot(world.project)
    world.fail("install", "other/a", "--registry", server.url, code=4, kind="not_found")
    assert snapshot(world.project) == before


def test_a_registry_that_is_gone_has_exit_code_5(world: World, server: FaultyServer) -> None:
    world.ask("install", "acme/a", "--registry", server.url)
    url = "http://127.0.0.1:9"  # the port `discard`, where nothing listens
    before = snapshot(world.project)
    text = world.fail("install", "acme/b", "--registry", url, code=5, kind="registry")
    assert url in text
    assert snapshot(world.project) == before
    world.ask("install", "--registry", url)
    world.graft_root()


def test_an_unbound_namespace_is_looked_up_in_the_default_registry_only(
    world: World, server: FaultyServer, tree: StaticTree
) -> None:
    other = StaticTree(world.folder / "other")
    other.add(world.folder / "acme-b-1.0.0.skillpack")
    with serving(other.folder) as private:
        table = f'\n[registries]\ndefault = "{server.url}"\n'
        table += f'private = {{ url = "{private.url}", namespaces = ["secret"] }}\n'
        world.file.write_text(world.file.read_text() + table)
        world.ask("install", "acme/b")
        assert private.requests == [], "an unbound namespace is no matter of a bound registry"
        server.requests.clear()
        world.fail("install", "secret/x", code=4, kind="not_found")
        assert [path for path in server.paths() if "secret" in path] == []
        assert private.paths("/index/secret/x.json")


def test_a_registry_that_cuts_every_answer_once_is_installed_from(
    world: World, server: FaultyServer, tree: StaticTree
) -> None:
    for path in sorted(tree.folder.rglob("*")):
        if path.is_file():
            server.fault(f"{path.relative_to(tree.folder)}$", cut_after(path.stat().st_size // 2))
    world.ask("install", "acme/b", "acme/c", "--registry", server.url)
    assert world.installed().keys() == {"acme/a", "acme/b", "acme/c"}
    world.graft_root()


def test_a_refused_registry_has_exit_code_1_and_kind_auth(
    world: World, server: FaultyServer
) -> None:
    server.fault("/config", problem(401, "auth", "a token is required"))
    text = world.fail("show", "acme/a", "--registry", server.url, code=1, kind="auth")
    assert "a token is required" in text
    assert f"skillpm login --registry {server.url}" in text


def test_the_token_of_the_environment_is_not_for_a_registry_of_the_project_file(
    world: World, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLPM_TOKEN", "sk-secret")
    text = world.file.read_text()
    world.file.write_text(f'{text}\n[registries]\ndefault = "{server.url}"\n')

    def sent() -> set[str | None]:
        found = {seen.headers.get("authorization") for seen in server.requests}
        server.requests.clear()
        return found

    world.ask("show", "acme/a")
    assert sent() == {None}
    world.ask("show", "acme/a", "--registry", server.url)
    assert sent() == {"Bearer sk-secret"}
    monkeypatch.setenv("SKILLPM_REGISTRY", server.url)
    world.ask("show", "acme/a")
    assert sent() == {"Bearer sk-secret"}
    monkeypatch.delenv("SKILLPM_REGISTRY")
    (world.folder / "config.toml").write_text(f'registry = "{server.url}"\n')
    world.ask("show", "acme/a")
    assert sent() == {"Bearer sk-secret"}
    world.ask("install", "acme/a")
    world.ask("lock")
    written = b"".join(p.read_bytes() for p in world.folder.rglob("*") if p.is_file())
    assert b"sk-secret" not in written
    assert b"sk-secret" not in world.lock.encode()


def test_login_needs_a_registry_over_http(world: World) -> None:
    for command in ("login", "logout", "whoami"):
        text = world.fail(command, "--registry", world.folder / "r", code=2, kind="usage")
        assert "has no accounts" in text


def test_whoami_without_credentials_names_the_login(world: World, server: FaultyServer) -> None:
    text = world.fail("whoami", "--registry", server.url, code=1, kind="auth")
    assert f"skillpm login --registry {server.url}" in text
    assert server.requests == []


def test_a_token_from_stdin_does_not_go_where_only_a_project_sends_it(
    world: World, server: FaultyServer
) -> None:
    text = world.file.read_text()
    world.file.write_text(f'{text}\n[registries]\ndefault = "{server.url}"\n')
    assert "--registry" in world.fail("login", code=2, kind="usage")
    assert server.requests == []


def test_a_release_that_lies_about_its_pack_is_refused(
    world: World, tree: StaticTree, server: FaultyServer
) -> None:
    tree.add(world.folder / "acme-a-1.0.0.skillpack", version=Version.parse("1.1.0"))
    before = snapshot(world.project)
    text = world.fail("install", "acme/a@1.1.0", "--registry", server.url, code=3, kind="integrity")
    assert "1.1.0" in text
    assert snapshot(world.project) == before


def test_blobs_with_other_bytes_are_refused(
    world: World, tree: StaticTree, server: FaultyServer
) -> None:
    for path in (tree.folder / "blobs").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    before = snapshot(world.project)
    world.fail("install", "acme/a", "--registry", server.url, code=3, kind="integrity")
    assert snapshot(world.project) == before
    assert not list((world.home / "store").rglob("part-*"))
