"""What `skillpm verify` reports with and without a base."""

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


def test_verify_without_a_base_reports_that_nothing_was_recomputed(
    world: World, made: Path, tmp_path: Path
) -> None:
    alone = world.ask("verify", made)
    assert (alone["verified"], alone["recomputed"]) == (False, False)
    assert alone["checked"] == ["digests", "documents"]
    assert "nothing was recomputed" in world.run("verify", made).out
    whole = world.ask("verify", made, "--base", tmp_path / "base")
    assert (whole["verified"], whole["recomputed"]) == (True, True)
    assert whole["checked"] == ["digests", "documents", "base", "payload"]
