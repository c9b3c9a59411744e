"""Commands import only what they need: reading commands start fast."""

import subprocess
import sys

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import PACKAGES, World, run_here

from skillpm.delta.tensors import heap

HEAVY = {"numpy", "torch", "numba", "rich", "sqlalchemy", "transformers"}
OF_WRITERS = {
    "filelock",
    "concurrent.futures",
    "skillpm.journal.lock",
    "skillpm.resolver",
    "tomlkit",
    "ctypes",
}


def _imported(world: World, *arguments: str) -> set[str]:
    """The modules that a new process imports for a command."""
    command = [sys.executable, "-X", "importtime", "-m", "skillpm", *arguments]
    environment = {"SKILLPM_HOME": str(world.home), "PYTHONPATH": PACKAGES}
    done = subprocess.run(
        command, cwd=world.project, env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


@pytest.fixture
def installed(world: World) -> World:
    base = write_plain(world.folder / "base", plain_tensors())
    world.init(base)
    pack = world.pack((base, write_tuned(world.folder / "tuned", "mlp")), "acme/x", "1.0.0")
    world.ask("install", pack)
    return world


@pytest.mark.parametrize("command", ["list", "history"])
def test_commands_that_read_import_neither_tensors_nor_locks(
    installed: World, command: str
) -> None:
    imported = _imported(installed, command)
    assert "skillpm.environment.project" in imported
    assert imported & (HEAVY | OF_WRITERS | {"skillpm.cli.params"}) == set()


def test_help_of_all_commands_imports_neither_models_nor_locks(world: World) -> None:
    imported = _imported(world, "--help")
    assert "skillpm.cli.packed" in imported
    assert imported & (HEAVY | OF_WRITERS | {"pydantic"}) == set()


def test_install_with_nothing_to_do_imports_no_large_library(installed: World) -> None:
    imported = _imported(installed, "install")
    assert "skillpm.journal.lock" in imported
    assert imported & HEAVY == set()


def test_only_commands_that_read_tensors_prepare_the_heap(
    installed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(heap, "keep_freed_memory", lambda: calls.append("heap"))
    for command in ("list", "history", "install", "tree"):
        assert run_here(command).code == 0
    assert not calls
    assert run_here("graft").code == 0
    assert calls
