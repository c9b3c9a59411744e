"""Settings of `graft` for one run: they make another graft, and change nothing in the project."""

import json

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair

import skillpm


@pytest.fixture
def two(world: World, math: Pair, models: Models) -> World:
    """Two skills that change the same tensors, with the graft of the lock."""
    world.init(math[0])
    second = models.tuned("mlp", seed=3)
    packs = (world.pack(math, "acme/math", "1.0.0"), world.pack(second, "acme/more", "1.0.0"))
    world.ask("install", *packs)
    world.ask("graft")
    return world


def _files(world: World) -> tuple[str, str, dict[str, str]]:
    return world.file.read_text(), world.lock, snapshot(world.project / ".skillpm")


def test_a_graft_with_settings_of_one_run_equals_that_of_a_project_with_them(two: World) -> None:
    before = _files(two)
    tried = two.ask("graft", "-o", "try", "--method", "ties", "--density", "0.3")
    assert tried["graft"] == {
        "mode": "merged", "method": "ties", "settings": {"density": 0.3, "scale": 1.0},
    }  # fmt: skip
    assert tried["once"]
    assert tried["keep"][0] == "skillpm config set graft.method ties graft.density 0.3"
    assert _files(two) == before
    assert two.ask("graft", "-o", "try", "--method", "ties", "--density", "0.3")["unchanged"]
    for command in tried["keep"]:
        two.ask(*command.split()[1:])
    kept = two.ask("graft")
    assert (kept["root"], kept["once"], kept["unchanged"]) == (tried["root"], False, False)
    assert two.ask("graft", "-o", "try")["unchanged"]


def test_a_graft_of_one_run_is_not_the_lock_s_for_audit_and_the_next_graft(two: World) -> None:
    root = two.graft_root()
    tried = two.run("graft", "--method", "dare", "--seed", "7")
    assert "skillpm.toml and skillpm.lock are unchanged" in tried.err
    assert "skillpm config set graft.method dare graft.seed 7 && skillpm install" in tried.err
    stale = [one for one in two.ask("audit")["findings"] if one["code"] == "graft-stale"]
    assert "made with `dare density=0.5 scale=1.0 seed=7`" in stale[0]["message"]
    assert "asks for `sum`" in stale[0]["message"]
    assert two.graft_root() == root
    assert not [one for one in two.ask("audit")["findings"] if one["code"] == "graft-stale"]


def test_weights_of_one_run_apply_to_the_whole_set_or_to_a_part(two: World) -> None:
    before = _files(two)
    half = two.ask("graft", "-o", "half", "--weight", "acme/math=0.5")
    assert half["keep"] == ["skillpm install acme/math --weight acme/math=0.5"]
    part = two.ask("graft", "-o", "part", "--only", "acme/math", "--weight", "0.5")
    whole = two.graft_root("-o", "all")
    assert len({half["root"], part["root"], whole}) == 3
    said = two.fail("graft", "-o", "x", "--weight", "acme/sql=1", code=2, kind="usage")
    assert "`acme/sql` has a weight" in said
    assert _files(two) == before
    metadata = json.loads((two.project / "half" / ".skillpm-graft.json").read_text())
    assert [one["weight"] for one in metadata["skills"]] == [0.5, 1.0]
    with skillpm.open_project(".") as project:
        again = project.graft("half", weights={"acme/math": 0.5})
        assert (again.unchanged, again.once, again.keep) == (True, True, tuple(half["keep"]))


def test_a_routed_project_is_merged_for_one_run(two: World) -> None:
    merged = two.graft_root()
    two.ask("config", "set", "graft.mode", "routed")
    two.ask("install")
    assert "--mode merged" in two.fail("graft", code=1, kind="graft")
    assert two.graft_root("-o", "one", "--mode", "merged") == merged


REFUSED: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("--density", "0.3"), 2, "add `--method ties`"),
    (("--method", "ties", "--seed", "1"), 2, "add `--method dare`"),
    (("--method", "ties", "--density", "0"), 2, "invalid `density`"),
    (("--method", "tise"), 2, "tise"),
    (("--method", "ties", "--method", "dare"), 2, "--compare"),
    (("--weight", "0"), 4, "has weight 0"),
    (("--tune", "--seed", "0"), 2, "cannot be used together"),
    (("--compare", "--link"), 2, "cannot be used together"),
    (("--compare", "--tune"), 2, "cannot be used together"),
    (("--mode", "routed"), 1, "--only"),
)


def test_settings_that_cannot_be_grafted_leave_the_graft_as_it_was(two: World) -> None:
    before = snapshot(two.project)
    for arguments, code, said in REFUSED:
        outcome = two.run("graft", *arguments, "--json")
        assert outcome.code == code, outcome
        assert said in f"{outcome.error['message']} {outcome.error['hint']}"
    assert snapshot(two.project) == before


def test_packs_that_conflict_when_merged_are_refused_for_one_run(
    world: World, models: Models
) -> None:
    pair = models.pair("grown")
    world.init(pair[0])
    world.ask("install", world.pack(pair, "acme/big", "1.0.0"))
    said = world.fail("graft", "--weight", "0.5", code=4, kind="resolution")
    assert "cannot be scaled" in said
    assert not (world.project / "graft").exists()
