"""`SKILLPM_TOKEN` is not sent to a registry of a project file, and messages say so."""

import shlex
from pathlib import Path

import pytest
from live_server import Server
from skillpm_world import World
from small_packs import tuned_pack


@pytest.fixture
def stranger(
    world: World, base: Path, user: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> World:
    """A project whose file names the registry; the token is only in the environment."""
    monkeypatch.delenv("SKILLPM_REGISTRY")
    text = world.file.read_text()
    world.file.write_text(f'{text}\n[registries]\ndefault = "{server.url}"\n')
    return world


def _check(text: str, server: Server, token: str) -> None:
    assert f"SKILLPM_TOKEN is not sent to `{server.url}`" in text
    assert f"`skillpm login --registry {server.url}`" in text
    assert f"--registry {server.url}`" in text
    assert token not in text


def test_a_refused_publish_names_the_origin_and_the_commands(
    stranger: World, base: Path, server: Server, user: str, namespace: str
) -> None:
    pack = tuned_pack(stranger, base, f"{namespace}/sums", "mlp", "1.0.0")
    _check(stranger.fail("publish", pack, code=1, kind="auth"), server, user)
    stranger.ask("publish", pack, "--registry", server.url)


def test_whoami_says_why_there_are_no_credentials(
    stranger: World, server: Server, user: str
) -> None:
    _check(stranger.fail("whoami", code=1, kind="auth"), server, user)


def test_the_hint_is_a_command_that_works(stranger: World, server: Server, user: str) -> None:
    text = stranger.fail("whoami", code=1, kind="auth")
    option = text.partition("add `")[2].partition("`")[0]
    assert stranger.ask("whoami", *shlex.split(option))["registry"] == server.url


def test_an_unlisted_skill_is_explained_once(
    stranger: World, server: Server, user: str, namespace: str
) -> None:
    outcome = stranger.run("install", f"{namespace}/secret")
    assert outcome.code == 4
    _check(outcome.err, server, user)
    assert outcome.err.count("SKILLPM_TOKEN") == 1
