"""`tree`, `why`, `outdated`, `diff`: dependencies of a set, and changes."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair


@pytest.fixture
def pairs(models: Models) -> list[Pair]:
    return [models.tuned("mlp"), *(models.tuned("attn", seed=seed) for seed in (2, 3, 4))]


@pytest.fixture
def team(world: World, pairs: list[Pair]) -> World:
    """`math` and `sql` require `numbers`; `math` is held back by `^1`."""
    world.init(pairs[0][0])
    world.publish(pairs[0], "acme/numbers", "1.0.0")
    world.publish(pairs[1], "acme/math", "1.0.0", "--requires", "acme/numbers ^1")
    world.publish(pairs[2], "acme/sql", "1.0.0", "--requires", "acme/numbers >=1, <3",
                  "--requires", "acme/math *")  # fmt: skip
    world.ask("install", "acme/sql", "acme/math ^1")
    return world


TREE = """\
acme/math 1.0.0 (^1)
└── acme/numbers 1.0.0 (^1)
acme/sql 1.0.0 (^1.0.0)
├── acme/math 1.0.0 (any) (*)
└── acme/numbers 1.0.0 (>=1, <3)
"""


def test_tree_shows_requirements_and_repeats_nothing(team: World) -> None:
    text = team.run("tree").out
    assert text == TREE
    assert team.run("tree", "acme/sql", "--depth", 0).out == "acme/sql 1.0.0 (^1.0.0)\n"
    assert team.run("tree", "acme/sql").out.count("acme/numbers") == 2


def test_tree_invert_shows_the_dependents_of_a_skill(team: World) -> None:
    assert team.run("tree", "--invert").out == team.run("tree", "-i", "acme/numbers").out
    lines = team.run("tree", "-i", "acme/numbers").out.splitlines()
    assert lines[0] == "acme/numbers 1.0.0"
    assert lines[1:] == [
        "├── acme/math 1.0.0 (^1)",
        "│   └── acme/sql 1.0.0 (any)",
        "└── acme/sql 1.0.0 (>=1, <3)",
    ]


def test_tree_without_unicode_is_drawn_in_ascii(
    team: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        from skillpm.cli.relations import _lines
        from skillpm.flows.inspect.relations import relations_of

        found = relations_of(team.project)
        lines = list(_lines(found, list(found.requirements), invert=False, depth=None))
    assert "`-- acme/numbers 1.0.0 (^1)" in lines


def test_tree_json_is_a_graph(team: World) -> None:
    document = team.ask("tree")
    assert document["roots"] == ["acme/math", "acme/sql"]
    by_name = {one["skill"]: one for one in document["skills"]}
    assert by_name["acme/numbers"]["required_by"] == [
        {"skill": "acme/math", "requirement": "^1"},
        {"skill": "acme/sql", "requirement": ">=1, <3"},
    ]
    assert by_name["acme/sql"]["wanted"] == "^1.0.0"
    assert by_name["acme/numbers"]["wanted"] is None


def test_tree_ends_at_skills_that_require_each_other(world: World, pairs: list[Pair]) -> None:
    world.init(pairs[0][0])
    world.publish(pairs[1], "acme/a", "1.0.0", "--requires", "acme/b ^1")
    world.publish(pairs[2], "acme/b", "1.0.0", "--requires", "acme/a ^1")
    world.ask("install", "acme/a")
    assert world.run("tree").out.splitlines()[-1] == "    └── acme/a 1.0.0 (^1) (*)"
    assert world.ask("tree", "--invert")["roots"] == ["acme/a"]


def test_why_shows_the_shortest_path_from_each_requirement(team: World) -> None:
    text = team.run("why", "acme/numbers").out
    assert text.startswith("acme/numbers 1.0.0 is installed because\n")
    assert (
        "  skillpm.toml requires acme/math ^1\n  acme/math 1.0.0 requires acme/numbers ^1" in text
    )
    assert "  acme/sql 1.0.0 requires acme/numbers >=1, <3" in text
    paths = team.ask("why", "acme/math")["paths"]
    assert [[step["skill"] for step in path] for path in paths] == [
        ["acme/math"],
        ["acme/sql", "acme/math"],
    ]


@pytest.mark.parametrize("command", ["why", "tree"])
def test_why_and_tree_suggest_the_nearest_name(team: World, command: str) -> None:
    said = team.fail(command, "acme/nmbers", code=4, kind="not_found")
    assert "did you mean `acme/numbers`?" in said


def _rows(world: World) -> dict[str, dict[str, Any]]:
    return {one["skill"]: one for one in world.ask("outdated")["outdated"]}


def test_outdated_shows_the_reachable_version_and_what_holds_it_back(
    team: World, pairs: list[Pair], models: Models
) -> None:
    assert team.ask("outdated") == {
        "schema_version": 1, "outdated": [], "checked": 3, "unlisted": [], "notes": [],
        "skipped": [],
    }  # fmt: skip
    assert "all 3 skills are up to date" in team.run("outdated").out
    team.publish(pairs[3], "acme/numbers", "1.1.0")
    team.publish(models.tuned("attn", seed=5), "acme/numbers", "2.0.0")
    team.publish(models.tuned("attn", seed=6), "acme/math", "2.0.0")
    before = snapshot(team.folder)
    rows = _rows(team)
    assert snapshot(team.folder) == before
    assert (rows["acme/numbers"]["wanted"], rows["acme/numbers"]["latest"]) == ("1.1.0", "2.0.0")
    assert rows["acme/numbers"]["held_by"] == ["`acme/math 1.0.0` requires `acme/numbers ^1`"]
    assert rows["acme/numbers"]["holds"] == [
        {
            "by": "acme/math 1.0.0",
            "requirement": "acme/numbers ^1",
            "statement": "`acme/math 1.0.0` requires `acme/numbers ^1`",
        }
    ]
    assert rows["acme/math"]["held_by"] == ["skillpm.toml asks for `^1`"]
    assert "acme/sql" not in rows
    assert team.run("outdated", "--exit-code").code == 1
    assert team.run("outdated").code == 0
    said = team.run("upgrade", "--dry-run").err
    assert (
        "acme/numbers stays at 1.1.0 although 2.0.0 is available: `acme/math 1.0.0` requires "
        "`acme/numbers ^1`" in said
    )
    would = team.ask("upgrade", "--dry-run")["changed"]
    assert [(one["skill"], one["version"]) for one in would] == [("acme/numbers", "1.1.0")]


def test_outdated_marks_yanked_releases_prereleases_and_other_bases(
    world: World, models: Models
) -> None:
    pair, other = models.tuned("mlp"), models.pair("tied")
    world.init(pair[0])
    world.publish(pair, "acme/math", "1.0.0")
    world.ask("install", "acme/math *")
    world.publish(models.tuned("attn", seed=2), "acme/math", "1.1.0-rc.1")
    assert _rows(world) == {}
    assert world.ask("outdated")["skipped"] == [
        {"skill": "acme/math", "version": "1.1.0-rc.1", "reason": "it is a pre-release"}
    ]
    assert "acme/math 1.1.0-rc.1 is newer, but it is a pre-release" in world.run("outdated").err
    world.ask("yank", "acme/math@1.0.0", "--reason", "wrong sums")
    assert _rows(world)["acme/math"]["yanked"] is True
    assert "1.0.0 (yanked)" in world.run("outdated").out
    world.ask("unyank", "acme/math@1.0.0")
    world.publish(other, "acme/math", "2.0.0")
    assert _rows(world)["acme/math"]["held_by"][0].startswith("it was built for base sha256:")


def test_outdated_without_a_lock_fails_with_a_hint(world: World, math: Pair) -> None:
    world.init(math[0])
    (world.project / "skillpm.lock").unlink()
    assert "skillpm install" in world.fail("outdated", code=1, kind="not_found")


def test_diff_compares_locks_at_any_two_paths(
    team: World, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = team.folder / "old.lock"
    old.write_text(team.lock)
    team.publish(pairs[3], "acme/numbers", "1.1.0")
    team.ask("upgrade")
    team.ask("uninstall", "acme/sql")
    found = team.ask("diff", old, "skillpm.lock")
    assert [one["skill"] for one in found["removed"]] == ["acme/sql"]
    assert [(one["from"], one["version"]) for one in found["changed"]] == [("1.0.0", "1.1.0")]
    assert found["base"] is None
    assert team.ask("diff", 1) == team.ask("diff", 1, 3) == found
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(old.read_bytes())))
    assert " ~ acme/numbers 1.0.0 -> 1.1.0" in team.run("diff", "-", "skillpm.lock").out
    assert team.run("diff", 3).out == "no differences\n"


def test_diff_of_locks_of_two_bases_shows_the_bases(team: World) -> None:
    other = team.folder / "other.lock"
    root = "sha256:" + "0" * 64
    base = team.ask("list")["base_root"]
    other.write_text(team.lock.replace(base, root))
    assert team.ask("diff", other)["base"] == {"from": root, "to": base}
    assert " ! base " in team.run("diff", other).out


def test_diff_refuses_arguments_that_are_no_set(team: World, tmp_path: Path) -> None:
    assert "neither a lockfile nor the number of a generation" in team.fail(
        "diff", "none", code=1, kind="not_found"
    )
    assert "skillpm.lock" in team.fail("diff", ".", code=2, kind="usage")
    bad = tmp_path / "bad.lock"
    bad.write_bytes(b"\xff")
    assert "is not UTF-8" in team.fail("diff", bad, code=1, kind="spec")
    assert "no generation 9" in team.fail("diff", 9, code=1, kind="not_found")


def test_outdated_reports_skills_that_no_reachable_registry_lists(
    team: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLPM_REGISTRY", str(team.folder / "empty"))
    team.ask("registry", "init", team.folder / "empty")
    found = team.ask("outdated")
    assert found["unlisted"] == ["acme/math", "acme/numbers", "acme/sql"]
    assert found["outdated"] == []
    assert "`upgrade` would fail: there is no skill `acme/math`" in found["notes"][0]
    assert "no reachable registry lists acme/math" in team.run("outdated").out


def test_change_of_one_version_is_printed_with_both_versions(
    team: World, pairs: list[Pair]
) -> None:
    team.publish(pairs[3], "acme/numbers", "1.1.0")
    assert " ~ acme/numbers 1.0.0 -> 1.1.0\n" in team.run("upgrade", "--dry-run").out
    assert " ~ acme/numbers 1.0.0 -> 1.1.0\n" in team.run("upgrade").out
    assert " ~ acme/numbers 1.1.0 -> 1.0.0\n" in team.run("rollback").out
