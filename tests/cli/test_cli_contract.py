"""The interface for programs: exit codes, error documents, help pages, and lazy imports."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from skillpm_world import PACKAGES, REPOSITORY, World, run_here, run_process
from tiny_models import Models

from skillpm.cli.app import app


def commands(group: click.Group = app, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        path = (*above, name)
        found.extend(commands(command, path) if isinstance(command, click.Group) else [path])
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_of_every_command_has_an_example(command: tuple[str, ...]) -> None:
    outcome = run_here(*command, "--help")
    assert outcome.code == 0
    assert f"    skillpm {' '.join(command)}" in outcome.out
    assert "--json" in outcome.out
    assert "\\b" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("nonsense",), 2, "usage"),
        (("list", "--nonsense"), 2, "usage"),
        (("init",), 2, "usage"),
        (("install", "not a requirement"), 2, "usage"),
        (("uninstall",), 2, "usage"),
        (("pack", "a", "b", "--name", "bad name", "--version", "1.0.0"), 2, "usage"),
        (("pack", "a", "b", "--name", "a/b", "--version", "1"), 2, "usage"),
        (("identify", "nowhere"), 1, "not_found"),
        (("list",), 1, "not_found"),
        (("lock",), 1, "not_found"),
        (("graft",), 1, "not_found"),
        (("install", "acme/math"), 1, "not_found"),
        (("inspect", "nowhere.skillpack"), 1, "not_found"),
        (("show", "acme/math"), 4, "not_found"),
        (("search", "x", "--registry", "http://127.0.0.1:9"), 5, "registry"),
        (("search", "x", "--registry", "nowhere"), 5, "registry"),
        (("resolve", "--index", "nowhere.json", "a/b"), 1, "not_found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_every_failure_is_a_json_document_with_its_kind_and_code(
    world: World, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    for asked in ((*arguments, "--json"), ("--json", *arguments)):
        outcome = run_here(*asked)
        assert (outcome.code, outcome.error["kind"]) == (code, kind), outcome
        assert outcome.error["message"]
    plain = run_here(*arguments)
    assert plain.code == code
    assert plain.out == ""
    assert plain.err.startswith("error: ")
    assert list(world.project.iterdir()) == []


def test_control_characters_of_a_pack_are_shown_as_escapes(world: World, models: Models) -> None:
    evil = "red\x1b[31m\x07 right\u202eleft"
    pair = models.pair("fp32")
    path = world.pack(pair, "acme/math", "1.0.0", "--summary", evil, "--author", evil)
    world.ask("publish", path)
    for arguments in (("inspect", path), ("search", "acme"), ("show", "acme/math")):
        outcome = world.run(*arguments)
        assert outcome.code == 0
        assert r"red\x1b[31m\x07 right\u202eleft" in outcome.out
        assert not {"\x1b", "\x07", "\u202e"} & set(outcome.out)
    assert world.ask("search", "acme")["results"][0]["summary"] == evil


def test_resolve_with_a_saved_index_needs_no_project_or_registry(world: World) -> None:
    index = world.folder / "index.json"
    index.write_text(
        '{"skills": {"acme/math": {"1.0.0": {"requires": ["acme/numbers ^1"]}, "1.1.0": '
        '{"yanked": true}}, "acme/numbers": {"1.4.0": {}, "2.0.0": {}}}}'
    )
    found = world.ask("resolve", "--index", index, "acme/math")["resolved"]
    assert found == {"acme/math": "1.0.0", "acme/numbers": "1.4.0"}
    text = world.fail("resolve", "--index", index, "acme/math", "acme/numbers ^2",
                      code=4, kind="resolution")  # fmt: skip
    assert "acme/numbers" in text
    assert not world.home.exists()


_LIGHT = ["--help", "list", "history", "diff 0 0", "search", "show acme/math", "lock --check",
          "lock", "install", "upgrade --dry-run --explain", "audit", "uninstall acme/math",
          "rollback"]  # fmt: skip
_PROBE = """
import sys
from skillpm.cli import main
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as done:
        assert done.code == 0, command
    if "torch" in sys.modules:
        sys.exit(f"{command}: torch")
"""


def test_commands_without_tensor_work_do_not_import_torch(world: World, models: Models) -> None:
    pair = models.pair("fp32")
    world.init(pair[0])
    world.ask("install", world.pack(pair, "acme/math", "1.0.0"))
    ran = subprocess.run(
        [sys.executable, "-c", _PROBE, *_LIGHT],
        env={"PYTHONPATH": PACKAGES, "SKILLPM_HOME": str(world.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-300:]


def test_only_cli_and_api_import_inside_functions() -> None:
    # `skillpm.api` is loaded lazily: `import skillpm` must be fast.
    # A registry imports a library of a database or a bucket where it opens one.
    lazy = ("blobs/open.py", "catalog/insert.py", "db/migrate.py", "db/open.py")
    allowed = {Path("registry/skillpm_registry") / name for name in lazy}
    # Each kind of registry is imported by the function that opens it, and the keyring is optional.
    allowed |= {Path("skillpm/index") / name for name in ("credentials.py", "open.py")}
    # Pages of help read no version, and save the 7 ms of semver.
    allowed.add(Path("skillpm/spec/versions.py"))
    found = set()
    for top in ("skillpm", "registry"):
        for path in (REPOSITORY / top).rglob("*.py"):
            name = path.relative_to(REPOSITORY)
            if name.parts[:2] in (("skillpm", "cli"), ("skillpm", "api")) or name in allowed:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                    isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(node)
                ):
                    found.add(f"{name}:{node.name}")
    assert found == set()


def test_import_of_the_package_imports_no_other_module_of_it() -> None:
    code = "import sys, skillpm; print(sorted(n for n in sys.modules if n.startswith('skillpm')))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": PACKAGES},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "['skillpm', 'skillpm.version']"


def test_installed_command_equals_the_module(world: World) -> None:
    assert run_process("--version").out == run_here("--version").out
    outcome = run_process("list", "--json")
    assert outcome.code == 1
    assert outcome.error["kind"] == "not_found"


def test_closed_pipe_gives_no_traceback(world: World, models: Models) -> None:
    pair = models.pair("fp32")
    world.init(pair[0])
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "skillpm", "history"],
        env={"PYTHONPATH": PACKAGES, "SKILLPM_HOME": str(world.home)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert ran.returncode == 1
    assert ran.stderr == ""


def test_json_documents_and_options_are_typed() -> None:
    files = [path.read_text() for path in (REPOSITORY / "skillpm" / "cli").glob("*.py")]
    assert sum(len(re.findall(r"dict\[str, Any\]|\*\*\w+: Any", text)) for text in files) <= 1
