"""Answers of daily use: what was checked, what is missing where, and what cannot be completed."""

import json
import shutil
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


def test_verify_without_a_base_says_that_nothing_was_recomputed(
    world: World, made: Path, tmp_path: Path
) -> None:
    alone = world.ask("verify", made)
    assert (alone["verified"], alone["recomputed"]) == (True, False)
    assert alone["checked"] == ["digests", "documents"]
    assert "nothing was recomputed" in world.run("verify", made).out
    whole = world.ask("verify", made, "--base", tmp_path / "base")
    assert (whole["verified"], whole["recomputed"]) == (True, True)
    assert whole["checked"] == ["digests", "documents", "base", "payload"]


def test_a_lock_whose_registry_is_gone_names_the_skill_the_registry_and_what_to_do(
    world: World, made: Path
) -> None:
    del made
    shutil.rmtree(world.home)
    outcome = world.run("install")
    assert outcome.code != 0
    assert "acme/x 1.0.0 is not in the store, and the registry `default`" in outcome.err
    assert "skillpm publish FILE.skillpack" in outcome.err


def test_doctor_calls_no_damaged_journal_completable(world: World, made: Path) -> None:
    del made
    journal = world.project / ".skillpm" / "journal.json"
    for damage in (b"{}", b"not json", b'{"number": 99}'):
        journal.write_bytes(damage)
        checks = {one["check"]: one for one in world.ask("doctor", code=1)["checks"]}
        assert checks["journal"]["status"] == "fail"
        assert "complete or undo" not in (checks["journal"]["hint"] or "")


@pytest.mark.parametrize(
    "command",
    [
        ("probe",), ("probe", "acme/y"), ("route", "what is 2 + 2?"),
        ("install", "acme/unknown", "--guard"),
    ],
)  # fmt: skip
def test_no_command_imports_torch_before_it_knows_that_a_model_has_to_run(
    world: World, made: Path, command: tuple[str, ...], tmp_path: Path
) -> None:
    del made
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')\n")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})")
    found = run_process("-C", world.project, *command, "--json", SKILLPM_HOME=str(world.home),
                        PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")  # fmt: skip
    assert "torch was imported" not in found.out + found.err
    assert json.loads(found.out)["schema_version"] == 1
