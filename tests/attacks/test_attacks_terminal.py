"""Names with terminal escapes, and passwords in URLs: no command prints either."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack_worlds import Forge, forge_of
from skillpm_world import Outcome, World
from tiny_models import Models

ESCAPE = "\x1b]0;pwn\x07\x1b[2J\x9b1m\x7f\u202e\u2028\r\nhint: `rm -rf /`"
SECRET = "s3cr3t-tok"  # noqa: S105 - what must not be shown


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project in a folder whose name contains terminal escapes."""
    folder = tmp_path / "a\x1b[31mb\u202e"
    found = World(folder)
    found.project.mkdir(parents=True)
    monkeypatch.setenv("SKILLPM_HOME", str(found.home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(found.project)
    return found


def hostile(path: Path) -> Forge:
    """A pack in which every text is hostile; all its digests are valid."""
    forge = claiming(path)
    for summary in forge.manifest["compression"]["modules"].values():
        summary["codec"] = ESCAPE
    forge.manifest["created"] = ESCAPE
    forge.manifest["base"]["architecture"] = ESCAPE
    forge.manifest["compression"] |= {"scheme": ESCAPE, "settings": {ESCAPE: ESCAPE}}
    forge.image["annotations"] = {"org.opencontainers.image.title": ESCAPE}
    return forge


def claiming(path: Path) -> Forge:
    """A pack in which every text that only its author knows is hostile; it can be installed."""
    forge = forge_of(path)
    forge.manifest |= {ESCAPE: ESCAPE, "summary": ESCAPE, "license": ESCAPE, "authors": [ESCAPE]}
    forge.manifest["base"]["name"] = ESCAPE
    forge.manifest["provenance"] |= {"method": ESCAPE, "sources": [ESCAPE], "tool": ESCAPE}
    del forge.image["annotations"]
    return forge


def advisory(folder: Path) -> Path:
    path = folder / "advisory.json"
    entry = {"package": {"ecosystem": "skillpm", "name": "acme/math"}, "versions": ["1.0.0"]}
    plain = {
        "id": f"A{ESCAPE}", "modified": "2026-01-31T12:00:00Z", "affected": [entry],
        "summary": ESCAPE, "details": ESCAPE, "aliases": [ESCAPE],
    }  # fmt: skip
    path.write_text(json.dumps(plain))
    return path


def commands(world: World, pack: Path, base: Path) -> Iterator[tuple[object, ...]]:
    """The sequence of commands; each runs twice, with text and with JSON output."""
    yield ("inspect", pack)
    yield ("verify", pack)
    yield ("verify", pack, "--base", base)
    yield ("publish", pack)
    yield ("search", "")
    yield ("search", ESCAPE)
    yield ("show", "acme/math")
    yield ("install", "acme/math", "--dry-run")
    yield ("install", "acme/math")
    yield ("list",)
    yield ("tree",)
    yield ("why", "acme/math")
    yield ("history",)
    yield ("outdated",)
    yield ("yank", "acme/math@1.0.0", "--reason", ESCAPE)
    yield ("registry", "advisory", "add", advisory(world.folder))
    yield ("registry", "advisory", "list")
    yield ("audit",)
    yield ("audit", "--format", "sarif")
    yield ("audit", "--format", "cyclonedx")
    yield ("doctor",)
    yield ("config", "show")
    yield ("graft",)
    yield ("cache", "show")
    yield ("gc", "--dry-run")
    yield ("registry", "advisory", "withdraw", f"A{ESCAPE}")
    yield ("inspect", world.folder / ESCAPE.replace("/", "_"))
    yield ("install", ESCAPE)
    yield (ESCAPE,)
    yield ("show", "acme/math", "--registry", f"https://{ESCAPE}@h/x")


def harmless(outcome: Outcome) -> None:
    for text in (outcome.out, outcome.err):
        assert all(c == "\n" or c.isprintable() for c in text), ascii(text)
        lines = text.split("\n")
        assert not any(line.startswith(("hint: `rm", "`rm")) for line in lines), text
    assert "a bug in skillpm" not in outcome.out + outcome.err, outcome


def test_commands_print_no_terminal_escapes(world: World, models: Models) -> None:
    base, tuned = models.tuned("mlp")
    honest = world.pack((base, tuned), "acme/math", "1.0.0")
    refused = hostile(honest).write(world.folder / "hostile.skillpack")
    path = claiming(honest).write(world.folder / "claiming.skillpack")
    harmless(world.run("init", "--base", base))
    for name in ("inspect", "verify", "install"):
        harmless(world.run(name, refused))
        harmless(world.run(name, refused, "--json"))
    assert world.installed() == {}
    for command in commands(world, path, base):
        harmless(world.run(*command))
        harmless(world.run(*command, "--json"))
    assert world.installed() == {"acme/math": "1.0.0"}


URL = f"https://bob:{SECRET}@127.0.0.1:9/x?token={SECRET}"


def walk(world: World) -> Iterator[tuple[object, ...]]:
    """Commands that reach, name or show a registry."""
    for more in ((), ("--registry", URL), ("--offline", "--registry", URL)):
        yield ("install", "corp/x", *more)
        yield ("install", "acme/math", "--dry-run", *more)
        yield ("search", "x", *more)
        yield ("show", "corp/x", *more)
        yield ("doctor", *more)
        yield ("config", "show", *more)
        yield ("outdated", *more)
        yield ("audit", *more)
        yield ("list", *more)
        yield ("lock", *more)
        yield ("yank", "corp/x@1.0.0", *more)
        yield ("registry", "advisory", "list", *more)
        yield ("publish", world.folder / "acme-math-1.0.0.skillpack", *more)
    yield ("search", "x", "--registry", f"https://bob:{SECRET}@h:99999/x")
    yield ("search", "x", f"https://bob:{SECRET}@h/x")
    yield ("bundle", world.folder / "out.bundle")


def test_commands_neither_print_nor_store_a_password(
    world: World, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = models.tuned("mlp")
    world.init(pair[0])
    world.ask("install", world.pack(pair, "acme/math", "1.0.0"))
    bound = f'\n[registries]\ncorp = {{ url = "{URL}", namespaces = ["corp"] }}\n'
    world.file.write_text(world.file.read_text() + bound)
    monkeypatch.setenv("SKILLPM_CONFIG", str(world.folder / "config.toml"))
    (world.folder / "config.toml").write_text(f'registry = "{URL}"\n')
    for command in walk(world):
        for more in ((), ("--json",)):
            outcome = world.run(*command, *more)
            assert SECRET not in outcome.out + outcome.err, command
            assert "a bug in skillpm" not in outcome.out + outcome.err, outcome
    kept = [p for p in world.folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert sorted(path.name for path in kept) == ["config.toml", "skillpm.toml"]
    assert (world.folder / "out.bundle").exists()
