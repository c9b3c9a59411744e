"""The table `[graft]`: another method, other settings, another mode, and back."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, copy_model, rewrite


@pytest.fixture
def two(world: World, models: Models) -> World:
    """A project with two skills that change the same tensors, and one that changes others."""
    base = models.pair("fp32")[0]
    world.init(base)
    for name, seed in (("math", 1), ("sql", 2)):
        world.publish(models.tuned("mlp", seed=seed), f"acme/{name}", "1.0.0")
    world.ask("install", "acme/math", "acme/sql")
    return world


def _graft(world: World, table: str) -> None:
    """Replace `[graft]` in the project file."""
    text = world.file.read_text().split("\n[graft]")[0].rstrip("\n")
    world.file.write_text(f"{text}\n\n[graft]\n{table}\n")


def test_another_merge_method_makes_a_new_generation_and_another_root(two: World) -> None:
    summed = two.graft_root()
    seen, text = {summed}, two.file.read_text()
    for number, method in enumerate(("ties", "dare", "pcb", "sce"), 2):
        _graft(two, f'method = "{method}"')
        assert "`[graft]` asks for another" in two.run("install", "--frozen").err
        assert two.run("lock", "--check").code == 1
        done = two.ask("install")
        assert (done["generation"], done["kept"], done["changed"]) == (number, 2, [])
        assert "`[graft]` asks for another mode, method or settings" in done["notes"][0]
        assert f'method = "{method}"' in two.lock
        assert "[graft.settings]\ndensity = " in two.lock
        assert "root = " not in two.lock.split("[graft]")[1]
        root = two.graft_root()
        assert f'root = "{root}"' in two.lock
        assert two.graft_root("-o", "fresh", "--fresh") == root
        assert two.ask("install", "--frozen")["generation"] == number
        assert two.ask("audit", "--fail-on", "medium")["checked"]
        seen.add(root)
    assert len(seen) == 5
    moved = two.ask("diff", 1, 2)
    assert (moved["added"], moved["removed"], moved["changed"]) == ([], [], [])
    assert [moved["graft"][side]["method"] for side in ("from", "to")] == ["sum", "ties"]
    shown = two.run("diff", 1, 2).out
    assert shown == " ! graft merged sum -> merged ties density=0.2 scale=1.0\n"
    assert two.ask("diff", 2, 2)["graft"] is None
    assert len(two.ask("history")["generations"]) == 6
    two.ask("rollback", 1)
    assert 'mode = "merged"\nmethod = "sum"' in two.lock
    assert two.run("lock", "--check").code == 0
    assert two.graft_root() == summed
    assert text in two.file.read_text()


def test_rollback_restores_the_graft_table_in_both_files(two: World) -> None:
    _graft(two, 'method = "ties"  # a note\nsettings = { density = 0.5 }')
    two.ask("install")
    asked, root = two.file.read_text(), two.graft_root()
    assert "density = 0.5\nscale = 1.0" in two.lock
    _graft(two, 'mode = "merged"\nmethod = "dare"\nsettings = { seed = 7 }')
    two.ask("install")
    assert two.graft_root() != root
    plan = two.ask("rollback", "--dry-run")["plan"]
    assert plan["lock"]["graft"]["method"] == "ties"

    two.ask("rollback")

    assert two.run("lock", "--check").code == 0
    assert two.ask("install", "--frozen")["generation"] == 4
    assert two.graft_root() == root
    assert 'method = "ties"' in two.file.read_text()
    assert "{density = 0.5}" in two.file.read_text()
    two.ask("rollback")
    assert "seed = 7" in two.file.read_text()
    assert "seed = 7" in two.lock
    assert asked != two.file.read_text()


def test_apply_of_a_saved_rollback_restores_the_graft_table(two: World) -> None:
    _graft(two, 'method = "sce"')
    two.ask("install")
    plan = two.folder / "plan.json"
    plan.write_text(json.dumps(two.ask("rollback", "--dry-run")))
    two.ask("apply", plan)
    assert 'method = "sum"' in two.lock
    assert two.run("lock", "--check").code == 0


def test_dare_graft_depends_on_seed_and_density_alone(two: World) -> None:
    roots = []
    for settings in ("seed = 0", "seed = 1", "density = 0.9", "density = 0.5, seed = 0"):
        _graft(two, f'method = "dare"\nsettings = {{ {settings} }}')
        two.ask("install")
        roots.append(two.graft_root())
    assert roots[0] == roots[3]
    assert len(set(roots)) == 3
    assert two.ask("list")["generation"] == 5


def test_graft_root_is_independent_of_the_number_of_workers(
    two: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("ties", "pcb"):
        _graft(two, f'method = "{method}"')
        two.ask("install")
        monkeypatch.setenv("SKILLPM_WORKERS", "1")
        one = two.graft_root("-o", f"one-{method}")
        monkeypatch.setenv("SKILLPM_WORKERS", "2")
        assert two.graft_root("-o", f"two-{method}") == one


def test_graft_over_a_graft_of_another_method_reuses_no_merged_tensor(two: World) -> None:
    two.graft_root()
    target = two.project / "graft"
    for table in ('method = "ties"', 'method = "ties"\nsettings = { density = 0.9 }'):
        _graft(two, table)
        two.ask("install")
        over = two.ask("graft")
        found = snapshot(target)
        assert not over["unchanged"]
        fresh = two.ask("graft", "--fresh")
        assert (over["root"], found) == (fresh["root"], snapshot(target))
    stamp = json.loads((target / ".skillpm-graft.json").read_text())
    settings = {"density": 0.9, "scale": 1.0}
    assert stamp["graft"] == {"mode": "merged", "method": "ties", "settings": settings}
    assert two.ask("graft")["unchanged"]


def test_audit_recomputes_a_damaged_graft_by_its_merge_method(two: World) -> None:
    _graft(two, 'method = "ties"')
    two.ask("install")
    two.graft_root()
    path = next((two.project / "graft").glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = [one for one in two.ask("audit", code=3)["findings"] if one["code"] == "graft-damaged"]
    assert len(found) == 1
    assert "is damaged: expected the leaf" in found[0]["message"]
    _graft(two, 'method = "sce"')
    two.ask("install")
    codes = {one["code"] for one in two.ask("audit", code=3)["findings"]}
    assert {"graft-stale", "graft-damaged"} <= codes


def test_old_mode_and_method_names_are_read_as_the_new_ones(two: World) -> None:
    generation = two.project / ".skillpm" / "generations" / "1.json"
    lock = two.project / "skillpm.lock"
    for path in (generation, lock):
        path.write_text(path.read_text().replace("merged", "merge"))
    _graft(two, 'mode = "merge"\nmethod = "task-arithmetic"')
    before = two.file.read_text()
    assert two.run("lock", "--check").code == 0
    assert two.ask("install", "--frozen")["generation"] == 1
    assert two.ask("install")["generation"] == 1
    two.ask("uninstall", "acme/sql")
    assert 'mode = "merged"' in two.lock
    assert 'mode = "merge"\nmethod = "task-arithmetic"' in before.replace("merged", "merge")
    assert 'mode = "merge"' in two.file.read_text()
    assert two.ask("rollback")["generation"] == 3


@pytest.mark.parametrize(("table", "problem"), [
    ('method = "slerp"', "graft.method: unknown method 'slerp'; expected one of `sum`"),
    ('mode = "both"', "graft.mode: unknown mode 'both'; expected `merged`"),
    ('method = "ties"\nsettings = { seed = 1 }', "`ties` has no setting 'seed'; known settings: `"),
    ('method = "sce"\nsettings = { density = 2 }', "invalid `density` of `sce`: expected"),
    ("settings = { density = 0.5 }", "`sum` has no setting 'density'; known settings: none"),
])  # fmt: skip
def test_unknown_graft_settings_are_refused_with_the_known_ones(
    two: World, table: str, problem: str
) -> None:
    _graft(two, table)
    assert problem in two.fail("install", code=1, kind="spec")
    assert two.ask("list")["generation"] == 1


def test_bundle_contains_the_graft_table(two: World, models: Models) -> None:
    _graft(two, 'method = "ties"\nsettings = { density = 0.4 }')
    two.ask("install")
    root = two.graft_root()
    two.ask("bundle", two.folder / "all.bundle")
    two.ask("rollback")
    two.ask("bundle", two.folder / "old.bundle", "--generation", 2)
    for name in ("all", "old"):
        two.ask("install", "--from", two.folder / f"{name}.bundle")
        assert two.run("lock", "--check").code == 0
        assert two.graft_root() == root
        two.ask("rollback", 1)


@pytest.fixture
def routed(two: World) -> World:
    _graft(two, 'mode = "routed"')
    two.ask("install")
    return two


def test_routed_project_grafts_one_skill_at_a_time(routed: World, models: Models) -> None:
    assert 'mode = "routed"' in routed.lock
    text = routed.fail("graft", code=1, kind="graft")
    assert "skillpm graft --only acme/math" in text
    assert 'skillpm.open_project(".").load_model()' in text
    assert not (routed.project / "graft").exists()
    for name, seed in (("math", 1), ("sql", 2)):
        tuned = routed.run("identify", models.tuned("mlp", seed=seed)[1], "--json").json["root"]
        assert routed.graft_root("-o", name, "--only", f"acme/{name}") == tuned
    assert "root = " not in routed.lock.split("[graft]")[1].split("[[skill]]")[0]
    routed.ask("uninstall", "acme/sql")
    assert "root = " not in routed.lock.split("[graft]")[1].split("[[skill]]")[0]
    routed.ask("uninstall", "acme/math")
    base = routed.run("identify", models.pair("fp32")[0], "--json").json["root"]
    assert f'root = "{base}"' in routed.lock.split("[graft]")[1]
    assert routed.graft_root() == base
    routed.ask("rollback", 1)
    assert 'mode = "merged"' in routed.lock
    assert 'mode = "merged"' in routed.file.read_text()


def test_routed_project_accepts_packs_that_cannot_be_merged(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, tuned = models.pair("head")
    other = copy_model(tuned, tmp_path / "other")
    rewrite(other, lambda tensors: tensors["classifier.weight"].add_(1))
    world.init(base)
    world.publish((base, tuned), "acme/one", "1.0.0")
    world.publish((base, other), "acme/two", "1.0.0")
    world.ask("install", "acme/one")
    world.fail("install", "acme/two", code=4, kind="resolution")
    _graft(world, 'mode = "routed"')

    world.ask("install", "acme/two")

    assert set(world.installed()) == {"acme/one", "acme/two"}
    assert world.ask("install", "--frozen")["kept"] == 2
    world.ask("graft", "--only", "acme/two")
    both = ("--only", "acme/one", "--only", "acme/two")
    assert "classifier.weight" in world.fail("graft", *both, code=4, kind="resolution")
    _graft(world, 'mode = "merged"')
    assert "classifier.weight" in world.fail("install", code=4, kind="resolution")
    assert 'mode = "routed"' in world.lock


def test_routed_project_enforces_declared_conflicts(routed: World, models: Models) -> None:
    routed.publish(models.tuned("attn"), "acme/law", "1.0.0", "--conflicts", "acme/math <2")
    routed.fail("install", "acme/law", code=4, kind="resolution")


def _move_norm(step: float, tensors: dict[str, Any]) -> None:
    tensors["model.norm.weight"].add_(step)


@pytest.mark.parametrize("method", ["sum", "ties"])
def test_graft_refuses_skills_that_cancel_each_other(
    world: World, models: Models, tmp_path: Path, method: str
) -> None:
    base = models.pair("fp32")[0]
    world.init(base)
    for name, step in (("more", 0.5), ("less", -0.5)):
        tuned = copy_model(base, tmp_path / name)
        rewrite(tuned, partial(_move_norm, step))
        world.publish((base, tuned), f"acme/{name}", "1.0.0")
    world.ask("install", "acme/more", "acme/less")
    _graft(world, f'method = "{method}"')
    world.ask("install")
    assert "changes no tensor of this graft" in world.fail("graft", code=1, kind="graft")


def test_install_reports_a_changed_merge_method(two: World) -> None:
    _graft(two, 'method = "ties"')
    assert "no skill changes; generation 2 would be current" in two.run("install", "--dry-run").out
    assert two.run("install").out == "no skill changes; generation 2 is current\n"
    assert two.run("install").out == "nothing to change; generation 2 is current\n"
