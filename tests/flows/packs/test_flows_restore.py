"""Blobs that are missing from the store, and registries that cannot be read."""

import shutil
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World


@pytest.fixture
def made(world: World, tmp_path: Path) -> Path:
    base = write_plain(tmp_path / "base", plain_tensors())
    world.init(base)
    pack = world.pack((base, write_tuned(tmp_path / "tuned", "mlp")), "acme/x", "1.0.0")
    world.ask("install", pack)
    return pack


def test_missing_registry_of_a_lock_is_named_with_skill_and_remedy(
    world: World, made: Path
) -> None:
    del made
    shutil.rmtree(world.home)
    outcome = world.run("install")
    assert outcome.code != 0
    assert "acme/x 1.0.0 is not in the store, and the registry `default`" in outcome.err
    assert "skillpm publish acme-x-1.0.0.skillpack" in outcome.err
