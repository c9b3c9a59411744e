"""The JSON Schemas of the documentation are current, and describe real files and documents.

`World.ask` checks every document that a test reads; the tests here read those of most commands.
"""

import json
import shlex
import tomllib
from typing import Any

import jsonschema
import pytest
from documented import check_document, leaves
from jsonschema import Draft202012Validator
from skillpm_world import REPOSITORY, World, run_here
from tiny_models import Pair

from skillpm.cli.schema_table import COMMANDS
from skillpm.cli.schemas import all_schemas, file_schema

FOLDER = REPOSITORY / "docs" / "reference" / "schemas"
SCHEMAS = all_schemas()


def validate(name: str, document: Any) -> None:
    Draft202012Validator(file_schema(name), format_checker=jsonschema.FormatChecker()).validate(
        document
    )


def test_the_schemas_in_the_repository_are_current() -> None:
    stored = {
        path.relative_to(FOLDER).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in FOLDER.rglob("*.json")
    }
    assert stored == SCHEMAS, (
        f"run `python -m skillpm.cli.schemas {FOLDER.relative_to(REPOSITORY)}`"
    )


def test_every_command_has_a_schema() -> None:
    assert set(COMMANDS) == set(leaves())


@pytest.mark.parametrize("path", SCHEMAS)
def test_a_schema_follows_the_dialect_that_it_names(path: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[path])


PROJECT_COMMANDS = (
    "list", "history", "tree", "why acme/math", "outdated", "audit", "graft", "doctor", "lock",
    "show acme/math", "search math", "probe", "install --dry-run", "upgrade", "config show",
    "yank acme/math@1.0.0", "unyank acme/math@1.0.0", "bundle team.skillbundle", "cache info",
    "cache verify", "cache path", "cache clean", "gc --dry-run", "completion bash",
    "export acme/math --format merged merged", "uninstall acme/math --dry-run", "diff 0 1",
    "rollback", "registry init ../team", "registry advisory list", "registry upgrade",
    "registry sweep", "registry token list", "registry namespace list", "install acme/nothing",
    "nonsense",
)  # fmt: skip


def test_documents_of_commands_follow_their_schemas(world: World, math: Pair) -> None:
    base, tuned = math
    for line in (f"identify {base} --against {tuned}", f"init --base {base}"):
        read(line)
    pack = world.pack(math, "acme/math", "1.0.0")
    for line in (f"inspect {pack}", f"verify {pack} --base {base}", f"publish {pack}"):
        read(line)
    read(f"pack {base} {tuned} --name acme/math --version 2.0.0 --dry-run")
    read("install acme/math")
    failed = [line for line in PROJECT_COMMANDS if "error" in read(line)]
    assert failed == ["install acme/nothing", "nonsense"]


def read(line: str) -> dict[str, Any]:
    document = run_here(*shlex.split(line), "--json").json
    check_document(line.split(), document)
    return document


def test_files_of_a_project_follow_their_schemas(world: World, math: Pair) -> None:
    world.init(math[0])
    pack = world.pack(math, "acme/math", "1.0.0")
    plan = world.ask("install", pack, "--dry-run")
    world.ask("install", pack)
    validate("plan", plan)
    validate("lock", tomllib.loads(world.lock))
    validate("manifest", world.ask("inspect", pack)["manifest"])
    world.file.write_text(world.file.read_text() + MORE)
    validate("project", tomllib.loads(world.file.read_text()))
    assert world.ask("list")["skills"], "skillpm reads this project file too"


MORE = """
[graft]
mode = "routed"
precedence = ["acme/math"]

[registries]
default = "https://skills.example.org"
team = { url = "../team", namespaces = ["team"] }

[audit]
fail-on = "medium"
ignore = [{ code = "unsigned", reason = "none is signed yet", until = "2030-01-31" }]

[config]
workers = 2
"""


@pytest.mark.parametrize(("name", "document"), [
    ("project", {"project": {"base": "x", "root": "sha256:1"}}),
    ("project", {"project": {"base": "x", "root": f"sha256:{'0' * 64}"}, "skils": {}}),
    ("lock", {"version": 2}),
    ("plan", {"schema_version": 1}),
    ("manifest", {"format": 1}),
    ("index", {"skills": {"acme/math": {"1.0.0": {"requires": "acme/numbers"}}}}),
    ("probes", {"question": "12?"}),
    ("transfer", {"target": {}}),
    ("prompts", {"prompt": "What is 12?"}),
    ("answers", {"id": "1"}),
    ("texts", {"txt": "a"}),
])  # fmt: skip
def test_a_wrong_file_does_not_follow_its_schema(name: str, document: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(name, document)
