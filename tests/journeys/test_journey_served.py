"""Commands with registries over HTTP: a tree of files behind a web server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from served_registry import FaultyServer, StaticTree, cut_after, problem, serving, status
from skillpm_world import World, run_process, snapshot, start_process

PARTS = ("mlp", "self_attn", "lm_head")


@pytest.fixture
def base(world: World) -> Path:
    base = write_plain(world.folder / "base", plain_tensors())
    world.init(base)
    return base


@pytest.fixture
def tree(world: World, base: Path) -> StaticTree:
    """The files of a registry with three skills; `acme/c` requires `acme/a`."""
    tree = StaticTree(world.folder / "tree")
    for name, part in zip("abc", PARTS, strict=True):
        tuned = write_tuned(world.folder / f"tuned-{name}", part)
        more = ("--requires", "acme/a ^1") if name == "c" else ()
        tree.add(world.pack((base, tuned), f"acme/{name}", "1.0.0", *more))
    return tree


@pytest.fixture
def server(tree: StaticTree) -> Iterator[FaultyServer]:
    with serving(tree.folder) as server:
        yield server


def test_install_from_static_files_fetches_what_is_missing_and_nothing_else(
    world: World, server: FaultyServer
) -> None:
    installed = world.ask("install", "acme/b", "acme/c", "--registry", server.url)
    assert [each["skill"] for each in installed["added"]] == ["acme/a", "acme/b", "acme/c"]
    assert world.installed() == {"acme/a": "1.0.0", "acme/b": "1.0.0", "acme/c": "1.0.0"}
    blobs = server.paths("/blobs/")
    assert blobs and len(blobs) == len(set(blobs)), "each blob is asked for once"
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
    for command in (("publish", pack), ("yank", "acme/a@1.0.0"), ("unyank", "acme/a@1.0.0"),
                    ("search", "a"), ("login",), ("whoami",)):  # fmt: skip
        if command[0] in ("login", "whoami"):
            continue
        text = world.fail(*command, "--registry", server.url, code=1, kind="registry")
        assert "serves static files only" in text
    server.requests.clear()
    assert not [seen for seen in server.requests if seen.method != "GET"]


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


def test_a_killed_install_continues_its_download(world: World, base: Path) -> None:
    tree = StaticTree(world.folder / "large")
    tuned = write_plain(world.folder / "tuned", plain_tensors(3))
    tree.add(world.pack((base, tuned), "acme/large", "1.0.0"))
    with serving(tree.folder) as server:
        size = 3 << 20
        blob = bytes(range(256)) * (size >> 8)
        del blob
        outcome = run_process(
            "install", "acme/large", "--registry", server.url, "-C", world.project
        )
        assert outcome.code == 0, outcome
    assert json and os and cut_after and problem and status and start_process
