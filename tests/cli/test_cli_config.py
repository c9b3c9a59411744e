"""Sources of settings, and the findings of `doctor`."""

import json
import subprocess
import sys
from typing import Any

import pytest
from skillpm_world import PACKAGES, World, run_here, snapshot
from tiny_models import Pair


def _shown(world: World, *more: object) -> dict[str, tuple[Any, str]]:
    rows = world.ask("config", "show", *more)["values"]
    return {row["key"]: (row["value"], row["source"]) for row in rows}


def test_config_precedence_is_flag_variable_project_user_file(
    installed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = installed.folder / "config.toml"
    monkeypatch.setenv("SKILLPM_CONFIG", str(own))
    assert _shown(installed)["workers"][1] == "default"
    own.write_text('workers = 3\nlock-timeout = 5\noffline = true\nregistry = "./own"\n')
    assert _shown(installed)["workers"] == (3, str(own))
    assert _shown(installed)["registry"] == ("./own", str(own))
    assert _shown(installed)["base"][1].endswith("skillpm.toml: [project]")
    installed.file.write_text(installed.file.read_text() + "[config]\nworkers = 4\n")
    assert _shown(installed)["workers"] == (4, f"{installed.file}: [config]")
    monkeypatch.setenv("SKILLPM_WORKERS", "5")
    assert _shown(installed)["workers"] == (5, "SKILLPM_WORKERS")
    assert _shown(installed, "--workers", "6")["workers"] == (6, "--workers")
    assert _shown(installed)["offline"] == (True, str(own))
    assert _shown(installed)["lock-timeout"] == (5.0, str(own))
    assert _shown(installed, "--no-wait")["lock-timeout"] == (0.0, "--no-wait")
    assert _shown(installed, "--no-color")["color"] == ("never", "--no-color")
    installed.file.write_text(installed.file.read_text() + '[registries]\ndefault = "./theirs"\n')
    assert _shown(installed)["registry"] == ("./theirs", f"{installed.file}: [registries]")
    text = installed.run("config", "show").out
    assert "SKILLPM_WORKERS" in text


def test_flag_before_the_command_overrides_a_variable(
    installed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLPM_REGISTRY", "nowhere")
    found = json.loads(run_here("--registry", installed.home / "registry", "search", "--json").out)
    assert len(found["results"]) == 1


def test_user_registry_is_the_default_unless_the_project_sets_one(
    installed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = installed.folder / "config.toml"
    monkeypatch.setenv("SKILLPM_CONFIG", str(own))
    installed.ask("registry", "init", installed.folder / "empty")
    own.write_text(f'registry = "{installed.folder / "empty"}"\n')
    assert installed.ask("search")["results"] == []
    here = f'[registries]\ndefault = "{installed.home / "registry"}"\n'
    installed.file.write_text(installed.file.read_text() + here)
    assert len(installed.ask("search")["results"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workrs = 1", "workrs: unknown key; did you mean `workers`?"),
        ("zzz = 1", "expected one of registry, base"),
        ("workers = 0", "workers: expected a whole number from 1"),
        ("workers = 1.5", "expected a whole number"),
        ("workers = true", "expected a whole number"),
        ('offline = "maybe"', "offline: expected true or false"),
        ('color = "red"', "color: expected `auto`"),
        ("registry = 3", "registry: expected text"),
        ("lock-timeout = -1", "expected a number of seconds"),
        ("[", "is not TOML"),
    ],
)
def test_invalid_config_key_or_value_is_an_error_with_the_nearest_key(
    installed: World, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    own = installed.folder / "config.toml"
    own.write_text(f"{text}\n")
    monkeypatch.setenv("SKILLPM_CONFIG", str(own))
    for command in ("config show", "install"):
        assert said in installed.fail(*command.split(), code=1, kind="spec")
    own.unlink()
    if text != "[":
        installed.file.write_text(installed.file.read_text() + f"[config]\n{text}\n")
        installed.fail("install", code=1, kind="spec")


@pytest.mark.parametrize("line", ['registry = "./x"', 'base = "./x"'])
def test_settings_with_their_own_project_key_are_refused_with_that_key(
    installed: World, line: str
) -> None:
    installed.file.write_text(installed.file.read_text() + f"[config]\n{line}\n")
    assert "not allowed here; set " in installed.fail("install", code=1, kind="spec")
    installed.file.write_text("config = 3\n")
    assert "expected a table" in installed.fail("config", "show", code=1, kind="spec")


def test_unreadable_user_config_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLPM_CONFIG", str(world.folder))
    assert "cannot be read" in world.fail("search", code=1, kind="state")


def test_init_takes_the_base_from_the_user_config_or_the_project_file(
    world: World, math: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = world.folder / "config.toml"
    own.write_text(f'base = "{math[0]}"\n')
    monkeypatch.setenv("SKILLPM_CONFIG", str(own))
    root = world.ask("init")["root"]
    own.unlink()
    (world.project / ".skillpm").rename(world.folder / "state")
    assert world.ask("init")["root"] == root


def _doctor(world: World, code: int = 0) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for check in world.ask("doctor", code=code)["checks"]:
        found.setdefault(check["check"], []).append(check["status"])
    return found


def test_doctor_reports_no_failure_for_a_consistent_project(installed: World) -> None:
    before = snapshot(installed.folder)
    found = _doctor(installed)
    assert {one for several in found.values() for one in several} <= {"ok", "warn"}
    assert {"python", "torch", "home", "disk", "files", "project", "lock", "base", "registry",
            "store"} <= set(found)  # fmt: skip
    assert snapshot(installed.folder) == before
    text = installed.run("doctor").out
    assert all(line.split()[0] in {"ok", "warn", "hint:"} for line in text.splitlines())


def test_doctor_reports_problems_and_remedies(installed: World) -> None:
    (installed.project / ".skillpm" / "holder.json").write_text(
        json.dumps({"pid": 2**22 + 1, "command": "graft", "since": 0})
    )
    (installed.project / ".skillpm" / "journal.json").write_text("{}")
    for path in (installed.home / "store" / "sha256").rglob("*"):
        if path.is_file():
            path.unlink()
    (installed.home / "registry").rename(installed.home / "gone")
    installed.file.write_text(
        installed.file.read_text().replace('base = "', 'base = "x')
        + '[registries]\nfar = "https://127.0.0.1:9"\n'
    )
    found = _doctor(installed, code=1)
    assert (found["lock"], found["journal"]) == (["warn"], ["fail"])
    assert found["base"] == found["store"] == ["fail"]
    assert "fail" in found["registry"]
    assert "hint:" in run_here("doctor").out


def test_doctor_outside_a_project_suggests_init(world: World) -> None:
    assert _doctor(world)["project"] == ["warn"]


def test_doctor_imports_neither_torch_nor_transformers(installed: World) -> None:
    seen = "str(sys.modules.keys() & {'torch', 'transformers'})"
    probe = (
        f"import sys; from skillpm.cli import main\ntry: main(['doctor'])\nfinally: print({seen})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe],
        env={"PYTHONPATH": PACKAGES, "SKILLPM_HOME": str(installed.home)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.endswith("set()\n")
