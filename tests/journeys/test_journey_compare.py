"""`graft --compare`: the probes with every method and routed, and what keeps the best."""

import pytest
from skillpm_world import World, snapshot
from tiny_learners import MATH, MATH_PROBES, Learners, write_probes

import skillpm
from skillpm.spec.merging import METHODS


@pytest.fixture
def hurt(world: World, learners: Learners) -> World:
    """A project in which one skill hurts another: both change the MLPs."""
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    world.init(learners.base)
    math = learners.pack(world, "math", "--probes", probes)
    world.ask("install", math, learners.pack(world, "slight"))
    return world


def test_compare_measures_each_method_and_writes_nothing(hurt: World) -> None:
    before = snapshot(hurt.project)
    outcome = hurt.run("graft", "--compare", "--json")
    assert outcome.code == 0, outcome
    assert outcome.err.startswith("comparing 6 ways to graft, on 10 probe items of 1 skill: 60")
    found = outcome.json
    assert snapshot(hurt.project) == before
    base, alone, *rows = found["rows"]
    assert (base["name"], base["kept"]) == ("base", {"worst": 0.0, "mean": 0.0})
    assert (alone["name"], alone["kept"]) == ("alone", {"worst": 1.0, "mean": 1.0})
    assert [row["graft"]["method"] for row in rows[:-1]] == list(METHODS)
    assert [row["name"] for row in rows if row["current"]] == ["sum"]
    assert "no skill has a router signature" in rows[-1]["error"]
    assert rows[-1]["kept"] is None
    best = max(rows[:-1], key=lambda row: (row["kept"]["worst"], row["kept"]["mean"]))
    assert next(r for r in rows if r["name"] == found["best"])["kept"] == best["kept"]
    assert found["without"] == ["acme/slight"]
    # Each row is what the project measures after the commands that keep it.
    ties = rows[1]
    for command in ties["keep"]:
        hurt.ask(*command.split()[1:])
    probed = hurt.run("probe", "--json").json["results"]
    assert [one["now"] for one in probed] == [one["now"] for one in ties["results"]]


def test_compare_is_limited_by_method_weight_and_only(hurt: World) -> None:
    shown = hurt.run("graft", "--compare", "--method", "sum", "--weight", "acme/slight=0.1")
    head, base, alone, row = shown.out.splitlines()[:4]
    assert head.split()[:1] == ["graft"]
    assert (base.split()[0], alone.split()[0], row.split()[0]) == ("base", "alone", "sum")
    assert "skillpm install acme/slight --weight acme/slight=0.1` keeps it" in shown.out
    with skillpm.open_project(".") as project:
        limited = project.compare_methods(only=["acme/math"], mode="merged")
        assert [row.name for row in limited.rows] == ["base", "alone", "sum"]
        assert "all methods give the same model" in limited.notes[0]
        assert limited.best is limited.best_merged is limited.rows[-1]
        assert limited.best.kept == (1.0, 1.0)
        with pytest.raises(skillpm.UsageError, match="no compared method"):
            project.compare_methods(methods=["sum"], settings={"density": 0.5})
        with pytest.raises(skillpm.UsageError, match="has no method"):
            project.compare_methods(mode="routed", methods=["sum"])
        with pytest.raises(skillpm.UsageError, match="unknown method"):
            project.compare_methods(methods=["tise"])


def test_compare_routed_row_uses_the_router_and_may_be_the_best(
    world: World, learners: Learners
) -> None:
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    examples = [{"text": f"{a}{b}"} for a in MATH for b in MATH]
    router = write_probes(world.folder / "router.jsonl", examples)
    world.init(learners.base)
    math = learners.pack(world, "math", "--probes", probes, "--router", router)
    world.ask("install", math, learners.pack(world, "noise"))
    found = world.ask("graft", "--compare", "--mode", "routed")
    (row,) = found["rows"][2:]
    assert (row["name"], row["keep"]) == (
        "routed",
        ["skillpm config set graft.mode routed", "skillpm install"],
    )
    assert (found["best"], found["best_merged"]) == ("routed", None)
    assert row["kept"]["worst"] > 0.5


def test_compare_needs_an_installed_skill_with_probes(world: World, learners: Learners) -> None:
    world.init(learners.base)
    world.fail("graft", "--compare", code=1, kind="not_found")
    world.ask("install", learners.pack(world, "slight"))
    assert "no installed skill has probes" in world.fail("graft", "--compare", code=1, kind="graft")
