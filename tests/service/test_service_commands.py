"""`registry namespace`, `token`, `sweep`, `upgrade`, on the server's machine and over HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import Server, configured, initialized, running
from skillpm_world import Outcome, run_here, run_process

Ask = Callable[..., Outcome]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str]]]:
    folder = tmp_path_factory.mktemp("commands")
    arguments = configured(folder / "registry")
    token = initialized(arguments)
    with running(folder, *arguments) as server:
        server.environment["ADMIN"] = token
        yield server, arguments


@pytest.fixture(params=["here", "remote"])
def ask(
    request: pytest.FixtureRequest,
    machine: tuple[Server, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Ask:
    """Run `skillpm registry …`, by the configuration file or over HTTP."""
    server, arguments = machine
    monkeypatch.setenv("SKILLPM_HOME", str(tmp_path / "home"))
    if request.param == "remote":
        monkeypatch.setenv("SKILLPM_TOKEN", server.environment["ADMIN"])
        arguments = ["--registry", server.url]

    def run(*words: str) -> Outcome:
        return run_here("registry", *words, *arguments)

    return run


def _json(outcome: Outcome) -> Any:
    assert outcome.code == 0, outcome
    return outcome.json


def test_namespaces_and_members_are_managed(ask: Ask, request: pytest.FixtureRequest) -> None:
    name = f"c{abs(hash(request.node.name)) % 10**8}"
    assert _json(ask("namespace", "create", name, "--private", "--json"))["private"]
    assert ask("namespace", "create", name).code == 1
    assert "exists already" in ask("namespace", "create", name).err
    assert ask("namespace", "grant", name, "bob", "--role", "reader").out == (
        f"bob is reader of {name}\n"
    )
    members = _json(ask("namespace", "list", name, "--json"))["members"]
    assert [(row["principal"], row["role"]) for row in members] == [
        ("admin", "owner"), ("bob", "reader"),
    ]  # fmt: skip
    assert "bob" in ask("namespace", "list", name).out
    assert ask("namespace", "create", f"{name}-2").code == 0
    assert ask("namespace", "set", f"{name}-2", "--private").out == f"{name}-2 is private\n"
    assert _json(ask("namespace", "set", f"{name}-2", "--private", "--json"))["private"]
    assert name in ask("namespace", "list").out
    assert ask("namespace", "revoke", name, "bob").code == 0
    assert ask("namespace", "revoke", name, "bob").code == 1
    names = [row["name"] for row in _json(ask("namespace", "list", "--json"))["namespaces"]]
    assert name in names


def test_tokens_are_created_listed_and_revoked(ask: Ask, machine: tuple[Server, list[str]]) -> None:
    created = _json(
        ask("token", "create", "--for", "alice", "--action", "publish", "--pattern", "acme/*",
            "--expires", "7d", "--json")
    )  # fmt: skip
    assert set(created) >= {"token", "id", "expires"}
    api = machine[0].client(created["token"])
    shown = api.ask("GET", "/v1/whoami")
    assert (shown["principal"], shown["token"]["actions"]) == ("alice", ["publish"])
    listed = ask("token", "list", "--json")
    assert created["id"] in listed.out
    assert created["token"] not in listed.out
    assert created["id"] in ask("token", "list").out
    assert ask("token", "revoke", created["id"]).code == 0
    api.ask("GET", "/v1/whoami", 401)
    assert ask("token", "revoke", "nothing").code == 1
    plain = ask("token", "create")
    assert plain.out.startswith("skillpm_")
    assert plain.out.count("\n") == 1


def test_a_sweep_reports_what_it_removed(ask: Ask) -> None:
    assert set(_json(ask("sweep", "--json"))) == {"blobs", "bytes", "uploads", "schema_version"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("token", "create", "--expires", "91d"), 1, "at most"),
        (("token", "create", "--expires", "soon"), 1, "is not a time"),
        (("token", "create", "--pattern", "acme"), 1, "patterns[0]"),
        (("namespace", "set", "acme"), 2, "needs what to change"),
        (("namespace", "set", "absent-one", "--private"), 1, "no namespace `absent-one`"),
        (("namespace", "list", "Acme"), 2, "is not a namespace"),
        (("namespace", "create", "Acme"), 1, "expected a namespace"),
        (("namespace", "grant", "absent-one", "bob"), 1, "no namespace `absent-one`"),
        (("namespace", "trust", "acme", "--issuer", "https://x.example", "--claim", "a"), 2,
         "is not a claim"),
        (("namespace", "trust", "absent-one", "--issuer", "https://x.example", "--claim", "a=b"),
         1, "no namespace"),
        (("namespace", "distrust", "absent-one", "1"), 1, "absent-one"),
    ],
)  # fmt: skip
def test_bad_values_are_errors(ask: Ask, words: tuple[str, ...], code: int, message: str) -> None:
    outcome = ask(*words, "--json")
    assert outcome.code == code, outcome
    assert message in json.dumps(outcome.error, ensure_ascii=False)


def test_over_http_a_token_is_needed_and_goes_where_the_user_says(
    machine: tuple[Server, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = machine
    monkeypatch.setenv("SKILLPM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SKILLPM_TOKEN", raising=False)
    refused = run_here("registry", "token", "list", "--registry", server.url, "--json")
    assert (refused.code, refused.error["kind"]) == (1, "auth")
    monkeypatch.setenv("SKILLPM_TOKEN", "skillpm_wrong")
    wrong = run_here("registry", "token", "list", "--registry", server.url, "--json")
    assert (wrong.code, wrong.error["kind"]) == (1, "auth")
    project = tmp_path / "project"
    project.mkdir()
    text = f'[project]\nbase = "b"\n[registries]\ndefault = "{server.url}"\n'
    (project / "skillpm.toml").write_text(text)
    named = run_here("-C", str(project), "registry", "token", "list", "--json")
    assert (named.code, named.error["kind"]) == (2, "usage")
    gone = run_here("registry", "token", "list", "--registry", "http://127.0.0.1:1", "--json")
    assert (gone.code, gone.error["kind"]) == (5, "registry")
    assert "skillpm_wrong" not in gone.out + wrong.out


def test_init_and_upgrade_of_a_server_can_be_repeated(tmp_path: Path) -> None:
    arguments = configured(tmp_path / "registry")
    missing = run_process("registry", "serve", "--port", "0", *arguments, "--json")
    assert missing.code == 5
    assert "registry init" in missing.error["hint"]
    assert initialized(arguments).startswith("skillpm_")
    again = run_process("registry", "init", *arguments, "--json")
    assert (again.code, again.json["token"]) == (0, None)
    assert run_process("registry", "upgrade", *arguments, "--json").json["upgraded"]


def test_an_old_registry_is_served_after_an_upgrade(tmp_path: Path) -> None:
    """A registry that the client alone made has the schema that older versions read."""
    from skillpm_registry.service import open_registry

    folder = tmp_path / "home" / "registry"
    open_registry(folder, create=True).close()
    home = {"SKILLPM_HOME": str(tmp_path / "home")}
    created = run_process("registry", "token", "list", "--json", **home)
    if created.code:
        assert "registry upgrade" in created.error["hint"]
        assert run_process("registry", "upgrade", **home).code == 0
    assert run_process("registry", "token", "list", "--json", **home).json["tokens"] == []


def test_init_without_a_place_is_a_usage_error(tmp_path: Path) -> None:
    outcome = run_process("registry", "init", "--json", SKILLPM_HOME=str(tmp_path))
    assert (outcome.code, outcome.error["kind"]) == (2, "usage")
