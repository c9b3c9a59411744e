"""Small promises of the commands that change a project, each tried at its edge."""

import json
from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair, copy_model, llama, nudge, rewrite, save


def test_two_files_of_one_skill_cannot_both_be_installed(
    world: World, models: Models, math: Pair
) -> None:
    world.init(math[0])
    one = world.pack(math, "acme/math", "1.0.0")
    two = world.pack(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    assert "two files hold" in world.fail("install", one, two, code=2, kind="usage")
    assert world.ask("search")["results"] == []


def test_a_file_of_a_namespace_that_is_bound_elsewhere_is_not_installed(
    world: World, math: Pair
) -> None:
    world.init(math[0])
    world.ask("registry", "init", "team")
    bound = '[registries]\nteam = { url = "team", namespaces = ["acme"] }\n'
    world.file.write_text(world.file.read_text() + bound)
    before = snapshot(world.project)
    path = world.pack(math, "acme/math", "1.0.0")
    assert "bound to the registry `team`" in world.fail("install", path, code=2, kind="usage")
    after = {name: text for name, text in snapshot(world.project).items() if name in before}
    assert after == before


def test_a_wish_names_a_registry_that_the_file_must_have(world: World, math: Pair) -> None:
    world.init(math[0])
    wish = '"acme/math" = { version = "*", registry = "team" }\n'
    world.file.write_text(world.file.read_text() + wish)
    outcome = world.run("install", "--json")
    assert outcome.code in (1, 2)
    assert "team" in outcome.error["message"]


def test_upgrading_needs_a_lock_and_an_installed_skill(installed: World) -> None:
    text = installed.fail("upgrade", "acme/sql", code=4, kind="not_found")
    assert "is not installed" in text
    (installed.project / "skillpm.lock").unlink()
    installed.fail("upgrade", code=1, kind="not_found")


def test_uninstalling_what_is_not_there_or_with_a_lock_that_does_not_fit(installed: World) -> None:
    installed.fail("uninstall", "acme/sql", code=4, kind="not_found")
    installed.file.write_text(installed.file.read_text().replace("^1.0.0", "^2"))
    assert "skillpm install" in installed.fail("uninstall", "acme/math", code=1, kind="state")
    assert installed.ask("list")["generation"] == 1


def test_a_lock_of_another_base_mode_or_registry_does_not_fit(installed: World) -> None:
    text = installed.file.read_text()
    zero = f"sha256:{'0' * 64}"
    root = installed.ask("list")["base_root"]
    edits = {
        "another base": text.replace(root, zero),
        "another registry": text + '[registries]\nteam = { url = "t", namespaces = ["acme"] }\n',
        "nothing asks for": text.replace('"acme/math" = "^1.0.0"\n', ""),
    }
    for reason, edited in edits.items():
        installed.file.write_text(edited)
        checked = installed.ask("lock", "--check", code=1)
        assert reason in checked["reason"]
    installed.file.write_text(text.replace(root, zero))
    installed.fail("rollback", code=3, kind="integrity")


def test_rolling_back_from_the_first_generation_says_that_there_is_none(
    world: World, math: Pair
) -> None:
    world.init(math[0])
    assert "nothing before it" in world.fail("rollback", code=1, kind="not_found")
    world.fail("rollback", 5, code=1, kind="not_found")


def test_initialising_twice_is_refused_and_changes_nothing(installed: World, math: Pair) -> None:
    before = snapshot(installed.project)
    installed.fail("init", "--base", math[0], code=1, kind="state")
    assert snapshot(installed.project) == before


def test_what_a_lock_requires_must_be_in_it(installed: World) -> None:
    path = installed.project / "skillpm.lock"
    path.write_text(installed.lock.replace("requires = []", 'requires = ["acme/sql ^1"]'))
    checked = installed.ask("lock", "--check", code=1)
    assert "requires `acme/sql ^1`" in checked["reason"]
    installed.fail("install", "--frozen", code=1, kind="state")
    assert installed.ask("install")["generation"] == 1


def test_packing_over_a_skill_that_is_in_reach_of_nobody_is_refused(
    world: World, math: Pair, tmp_path: Path
) -> None:
    world.publish(math, "acme/math", "1.0.0")
    tuned = copy_model(math[1], tmp_path / "over")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    upper = world.pack((math[0], tuned), "acme/up", "1.0.0", "--over", "acme/math")
    assert world.ask("verify", upper, "--base", math[0])["result_root"] == root_of(tuned)
    world.home.rename(world.folder / "old-home")
    text = world.fail("verify", upper, "--base", math[0], code=4, kind="not_found")
    assert "is layered on `acme/math`" in text
    tar = world.folder / "acme-math-1.0.0.skillpack"
    more = ("--name", "acme/up", "--version", "1.0.1", "--over", tar)
    named = ("-o", tmp_path / "up.skillpack")
    world.ask("pack", math[0], tuned, *more, *named)
    other = save(nudge(llama(seed=7)), tmp_path / "another")
    text = world.fail("pack", other, tuned, *more, code=3, kind="integrity")
    assert "--over" in text


def test_packs_that_change_one_config_key_differently_are_not_installed_together(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    world.init(math[0])
    for name, act in (("one", "relu"), ("two", "gelu"), ("three", "relu")):
        tuned = copy_model(models.tuned("mlp", seed=len(name))[1], tmp_path / name)
        config = json.loads((tuned / "config.json").read_text())
        (tuned / "config.json").write_text(json.dumps({**config, "hidden_act": act}))
        world.publish((math[0], tuned), f"acme/{name}", "1.0.0")
    world.ask("install", "acme/one")
    text = world.fail("install", "acme/two", code=4, kind="resolution")
    assert "hidden_act" in text
    world.ask("install", "acme/three")
    world.graft_root()
    config = json.loads((world.project / "graft" / "config.json").read_text())
    assert config["hidden_act"] == "relu"


def test_a_weight_so_small_that_nothing_changes_is_refused_at_the_graft(installed: World) -> None:
    wish = '"acme/math" = { version = "^1.0.0", weight = 1e-30 }'
    text = installed.file.read_text().replace('"acme/math" = "^1.0.0"', wish)
    installed.file.write_text(text)
    installed.ask("install")
    assert "changes no tensor" in installed.fail("graft", code=1, kind="graft")
    assert not (installed.project / "graft").exists()
    assert not list(installed.project.glob(".graft*"))


def test_a_target_that_cannot_be_made_is_a_state_error(installed: World) -> None:
    (installed.project / "file").write_text("in the way")
    installed.fail("graft", "-o", "file/graft", code=1, kind="state")
    assert not (installed.project / ".skillpm" / "journal.json").exists()


def test_a_lock_that_ran_ahead_is_not_given_the_roots_of_older_grafts(
    installed: World, models: Models
) -> None:
    installed.publish(models.tuned("attn"), "acme/sql", "1.0.0")
    installed.file.write_text(installed.file.read_text() + '"acme/sql" = "^1"\n')
    installed.ask("lock")
    before = installed.lock
    installed.graft_root()
    assert installed.lock == before
    (installed.project / "skillpm.lock").unlink()
    installed.graft_root()
    assert not (installed.project / "skillpm.lock").exists()


def test_a_dry_run_counts_as_the_run_does_where_only_a_requirement_changes(
    installed: World,
) -> None:
    installed.file.write_text(installed.file.read_text().replace("^1.0.0", "^1"))
    would = installed.ask("install", "--dry-run")
    done = installed.ask("install")
    assert (would["generation"], done["generation"]) == (2, 2)
    assert installed.ask("install", "--dry-run")["generation"] == 2
    installed.ask("rollback")
    assert '"acme/math" = "^1.0.0"' in installed.file.read_text()


@pytest.mark.parametrize(
    ("over", "code", "kind", "said"),
    [
        ("acme/none", 4, "not_found", "there is no skill `acme/none`"),
        ("acme/math@9.0.0", 4, "not_found", "no release of `acme/math` matches"),
        ("./a/folder/of/mine", 1, "not_found", "is neither a release nor a pack file"),
    ],
)
def test_a_wrong_over_is_named(
    world: World, math: Pair, over: str, code: int, kind: str, said: str
) -> None:
    world.publish(math, "acme/math", "1.0.0")
    named = ("--name", "acme/up", "--version", "1.0.0", "--over", over)
    assert said in world.fail("pack", *math, *named, code=code, kind=kind)
