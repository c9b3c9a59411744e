"""Torch is imported only when a model has to run."""

import json
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World, run_process


@pytest.fixture
def made(world: World, tmp_path: Path) -> Path:
    base = write_plain(tmp_path / "base", plain_tensors())
    world.init(base)
    pack = world.pack((base, write_tuned(tmp_path / "tuned", "mlp")), "acme/x", "1.0.0")
    world.ask("install", pack)
    return pack


@pytest.mark.parametrize(
    "command",
    [
        ("probe",), ("probe", "acme/y"), ("route", "what is 2 + 2?"),
        ("install", "acme/unknown", "--guard"),
    ],
)  # fmt: skip
def test_command_does_not_import_torch_before_a_model_has_to_run(
    world: World, made: Path, command: tuple[str, ...], tmp_path: Path
) -> None:
    del made
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')\n")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})")
    found = run_process("-C", world.project, *command, "--json", SKILLPM_HOME=str(world.home),
                        PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[3]}")  # fmt: skip
    assert "torch was imported" not in found.out + found.err
    assert json.loads(found.out)["schema_version"] == 1
