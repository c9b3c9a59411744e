"""Several skills in one project: adding up, needing, excluding, lying over each other."""

from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair, copy_model, llama, nudge, rewrite, save


@pytest.fixture
def sql(models: Models) -> Pair:
    return models.tuned("attn", seed=2)


@pytest.fixture
def both(models: Models) -> Pair:
    return models.tuned("mlp", seed=3)


def test_the_order_of_installation_changes_nothing(
    world: World, math: Pair, sql: Pair, both: Pair
) -> None:
    world.init(math[0])
    for name, pair in (("math", math), ("sql", sql), ("both", both)):
        world.publish(pair, f"acme/{name}", "1.0.0")
    seen = set()
    for order in (("math", "sql", "both"), ("both", "math", "sql"), ("sql", "both", "math")):
        for name in order:
            world.ask("install", f"acme/{name}")
        root = world.graft_root()
        assert f'root = "{root}"' in world.lock
        seen.add((world.lock, root))
        world.ask("uninstall", *(f"acme/{name}" for name in order))
    assert len(seen) == 1


def test_weights_of_the_project_file_count(world: World, math: Pair, both: Pair) -> None:
    base_root = world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(both, "acme/both", "1.0.0")
    world.ask("install", "acme/math", "acme/both")
    sum_root = world.graft_root()
    text = world.file.read_text()
    half = '{ version = "^1.0.0", weight = 0.5 }'
    world.file.write_text(text.replace('"acme/both" = "^1.0.0"', f'"acme/both" = {half}'))

    done = world.ask("install")

    assert [one["skill"] for one in done["changed"]] == ["acme/both"]
    assert "weight" in done["notes"][0]
    assert "weight = 0.5" in world.lock
    half_root = world.graft_root()
    assert len({base_root, sum_root, half_root, root_of(math[1]), root_of(both[1])}) == 5
    assert world.ask("rollback")["changed"] == done["changed"]
    assert world.file.read_text() == text
    assert world.graft_root() == sum_root


def test_a_weight_of_zero_would_change_nothing_and_is_refused(world: World, math: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    world.file.write_text(
        world.file.read_text().replace('"^1.0.0"', '{ version = "^1.0.0", weight = 0.0 }')
    )
    assert "acme/math" in world.fail("install", code=4, kind="resolution")
    assert world.ask("list")["generation"] == 1


def test_what_a_skill_requires_comes_and_goes_with_it(world: World, math: Pair, sql: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.2.0")
    world.publish(sql, "acme/sql", "1.0.0", "--requires", "acme/math ^1.1")

    assert len(world.ask("install", "acme/sql")["added"]) == 2
    assert "acme/math" not in world.file.read_text()
    assert "acme/sql" in world.fail("uninstall", "acme/math", code=1, kind="state")

    assert len(world.ask("uninstall", "acme/sql")["removed"]) == 2
    assert world.installed() == {}


def test_skills_that_exclude_each_other_are_not_installed_together(
    world: World, math: Pair, sql: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(sql, "acme/sql", "1.0.0", "--conflicts", "acme/math <2")
    world.ask("install", "acme/math")
    before = snapshot(world.project)

    text = world.fail("install", "acme/sql", code=4, kind="resolution")

    assert "acme/sql" in text
    assert "acme/math" in text
    assert snapshot(world.project) == before


def test_added_tensors_that_differ_conflict_before_anything_is_installed(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, tuned = models.pair("head")
    other = copy_model(tuned, tmp_path / "other")
    rewrite(other, lambda tensors: tensors["classifier.weight"].add_(1))
    world.init(base)
    world.publish((base, tuned), "acme/one", "1.0.0")
    world.publish((base, other), "acme/two", "1.0.0")
    world.ask("install", "acme/one")
    before = snapshot(world.project)

    assert "classifier.weight" in world.fail("install", "acme/two", code=4, kind="resolution")

    assert snapshot(world.project) == before


def test_a_yanked_release_is_hidden_from_new_locks_and_kept_by_old_ones(
    world: World, math: Pair, both: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(both, "acme/math", "1.1.0")
    world.ask("install", "acme/math")
    assert world.ask("yank", "acme/math@1.1.0", "--reason", "overfits")["yanked"]

    world.ask("install")
    assert world.installed() == {"acme/math": "1.1.0"}
    found = world.ask("audit", code=3)["findings"]
    assert [(one["level"], one["code"]) for one in found][:1] == [("high", "yanked")]
    assert "overfits" in found[0]["message"]
    assert world.run("audit", "--fail-on", "critical").code == 0

    world.ask("uninstall", "acme/math")
    world.ask("install", "acme/math")
    assert world.installed() == {"acme/math": "1.0.0"}
    world.ask("unyank", "acme/math@1.1.0")
    world.ask("upgrade")
    assert world.installed() == {"acme/math": "1.1.0"}


def test_a_release_is_immutable(world: World, math: Pair, both: Pair) -> None:
    path = world.pack(math, "acme/math", "1.0.0")
    first = world.ask("publish", path)
    assert world.ask("publish", path) == {**first, "created": False}
    other = world.folder / "other.skillpack"
    named = ("--name", "acme/math", "--version", "1.0.0", "-o", other)
    world.ask("pack", *both, *named)
    assert "already" in world.fail("publish", other, code=1, kind="state")
    assert world.ask("show", "acme/math")["releases"][0]["digest"] == first["digest"]


def test_a_base_of_another_root_has_no_resolution(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    other = save(llama(seed=7), tmp_path / "other")
    root = world.init(other)
    world.publish(math, "acme/math", "1.0.0")
    text = world.fail("install", "acme/math", code=4, kind="resolution")
    assert root[:15] in text
    assert root_of(math[0])[:15] in text
    assert world.ask("list")["generation"] == 0


def test_a_base_saved_again_without_a_buffer_is_told_apart_and_may_be_accepted(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, _ = models.pair("buffer")
    tuned = copy_model(base, tmp_path / "tuned")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(0.5))
    resaved = copy_model(base, tmp_path / "resaved")
    rewrite(resaved, lambda t: t.pop("model.layers.0.self_attn.rotary_emb.inv_freq"))
    world.init(resaved)
    world.publish((base, tuned), "acme/math", "1.0.0")

    text = world.fail("install", "acme/math", code=4, kind="resolution")
    assert "all tensors that the pack changes are the same" in text
    assert "--accept-footprint" in text
    assert world.installed() == {}

    world.ask("install", "acme/math", "--accept-footprint")
    assert "accept_footprint = true" in world.lock
    root = world.graft_root()
    assert root not in {root_of(tuned), root_of(resaved)}
    assert f'root = "{root}"' in world.lock
    assert world.ask("install", "--frozen")["kept"] == 1
    codes = {one["code"] for one in world.ask("audit")["findings"]}
    assert "base-accepted" in codes


def test_an_unknown_skill_is_told_with_the_nearest_name(world: World, math: Pair) -> None:
    world.init(math[0])
    world.fail("install", "acme/math", code=4, kind="not_found")
    world.publish(math, "acme/math", "1.0.0")
    assert "acme/math" in world.fail("show", "acme/mth", code=4, kind="not_found")
    world.fail("install", "acme/math@9", code=4, kind="resolution")
    world.fail("install", "acme/nothing", code=4, kind="not_found")
    world.fail("yank", "acme/math@9.0.0", code=4, kind="not_found")


def _over(world: World, math: Pair, models: Models, tmp_path: Path) -> Path:
    """A skill tuned on top of math's graft; its tuned model."""
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.ask("install", "acme/math")
    world.graft_root()
    tuned = save(nudge(nudge(llama(), only="mlp"), only="attn", seed=5), tmp_path / "over")
    named = ("--name", "acme/proofs", "--version", "1.0.0")
    text = world.fail("pack", world.project / "graft", tuned, *named, code=1, kind="graft")
    assert "--over" in text
    world.publish((math[0], tuned), "acme/proofs", "1.0.0", "--over", "acme/math@=1.0.0")
    return tuned


def test_a_skill_on_top_of_a_skill_brings_it_by_its_exact_version(
    world: World, models: Models, math: Pair, both: Pair, tmp_path: Path
) -> None:
    tuned = _over(world, math, models, tmp_path)
    world.publish(both, "acme/math", "1.1.0")
    world.ask("uninstall", "acme/math")

    added = world.ask("install", "acme/proofs")["added"]

    assert {one["skill"]: one["version"] for one in added} == {
        "acme/math": "1.0.0",
        "acme/proofs": "1.0.0",
    }
    assert world.graft_root() == root_of(tuned)
    world.fail("uninstall", "acme/math", code=1, kind="state")
    world.ask("uninstall", "acme/proofs")
    assert world.graft_root() == root_of(math[0])


def test_the_lower_skill_stays_where_the_upper_needs_it(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    tuned = _over(world, math, models, tmp_path)
    world.ask("install", "acme/proofs")
    assert len(world.file.read_text().split('"acme/')) == 3

    done = world.ask("uninstall", "acme/math")

    assert done["removed"] == []
    assert "stays installed" in done["notes"][0]
    assert world.graft_root() == root_of(tuned)
    assert world.graft_root("-o", "only", "--only", "acme/math") == root_of(math[1])
