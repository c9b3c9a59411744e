"""The checks of `skillpm doctor`."""

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


def test_doctor_reports_a_damaged_journal_as_not_completable(world: World, made: Path) -> None:
    del made
    journal = world.project / ".skillpm" / "journal.json"
    for damage in (b"{}", b"not json", b'{"number": 99}'):
        journal.write_bytes(damage)
        checks = {one["check"]: one for one in world.ask("doctor", code=1)["checks"]}
        assert checks["journal"]["status"] == "fail"
        assert "complete or undo" not in (checks["journal"]["hint"] or "")
