"""Grafting over an existing graft: equal files are reused, but only after a check."""

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models


@pytest.fixture
def grafted(installed: World) -> World:
    installed.graft_root()
    return installed


def test_graft_does_not_rewrite_a_correct_graft(grafted: World) -> None:
    target = grafted.project / "graft"
    before = {p: p.stat().st_mtime_ns for p in target.rglob("*")}
    again = grafted.ask("graft")
    assert (again["unchanged"], again["written_bytes"]) == (True, 0)
    assert {p: p.stat().st_mtime_ns for p in target.rglob("*")} == before


def test_graft_over_another_graft_equals_a_fresh_one(grafted: World, models: Models) -> None:
    grafted.publish(models.tuned("attn", seed=5), "acme/law", "1.0.0")
    target = grafted.project / "graft"
    for command in (("install", "acme/law"), ("uninstall", "acme/math"), ("rollback",)):
        grafted.ask(*command)
        over = grafted.ask("graft")
        found = snapshot(target)
        fresh = grafted.ask("graft", "--fresh")
        assert (over["root"], found) == (fresh["root"], snapshot(target)), command
        assert fresh["reused_bytes"] == 0


@pytest.mark.parametrize("place", [-1, 0])
def test_graft_replaces_a_damaged_graft(grafted: World, place: int) -> None:
    whole = snapshot(grafted.project / "graft")
    path = next((grafted.project / "graft").glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    done = grafted.ask("graft")
    assert not done["unchanged"]
    assert snapshot(grafted.project / "graft") == whole


def test_graft_removes_an_unknown_file_of_a_graft(grafted: World) -> None:
    whole = snapshot(grafted.project / "graft")
    (grafted.project / "graft" / "extra.json").write_text("{}")
    assert not grafted.ask("graft")["unchanged"]
    assert snapshot(grafted.project / "graft") == whole
