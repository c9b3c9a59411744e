"""Layered packs: `pack --over`, and installing what they require."""

from pathlib import Path

import pytest
from skillpm_world import World, root_of
from tiny_models import Models, Pair, copy_model, llama, nudge, rewrite, save


def test_pack_over_a_full_version_selects_a_yanked_release(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    world.publish(math, "acme/math", "1.0.0")
    world.publish(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    world.ask("yank", "acme/math@1.0.0")
    tuned = copy_model(math[1], tmp_path / "over")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    pack = world.pack((math[0], tuned), "acme/up", "1.0.0", "--over", "acme/math@1.0.0")
    over = world.ask("inspect", pack)["manifest"]["over"]
    assert [(one["skill"], one["version"]) for one in over] == [("acme/math", "1.0.0")]
    named = ("--name", "acme/x", "--version", "1.0.0", "--over", "acme/math@1.2.0")
    world.fail("pack", math[0], tuned, *named, code=4, kind="not_found")


def test_pack_over_a_conflicting_set_is_refused(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, tuned = models.pair("head")
    other = copy_model(tuned, tmp_path / "other")
    rewrite(other, lambda tensors: tensors["classifier.weight"].add_(1))
    world.publish((base, tuned), "acme/one", "1.0.0")
    world.publish((base, other), "acme/two", "1.0.0")
    named = ("--name", "acme/up", "--version", "1.0.0", "--over", "acme/one", "--over", "acme/two")
    text = world.fail("pack", base, other, *named, code=4, kind="resolution")
    assert "classifier.weight" in text


@pytest.fixture
def both(models: Models) -> Pair:
    return models.tuned("mlp", seed=3)


def _over(world: World, math: Pair, models: Models, tmp_path: Path) -> Path:
    """The tuned model of a skill that is layered on the graft of `acme/math`."""
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


def test_install_of_a_layered_skill_installs_its_exact_lower_version(
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


def test_uninstall_keeps_a_lower_skill_that_a_layered_skill_requires(
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


def test_verify_and_pack_report_an_unreachable_lower_skill(
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


@pytest.mark.parametrize(
    ("over", "code", "kind", "said"),
    [
        ("acme/none", 4, "not_found", "there is no skill `acme/none`"),
        ("acme/math@9.0.0", 4, "not_found", "no release of `acme/math` matches"),
        ("./a/folder/of/mine", 1, "not_found", "is neither a release nor a pack file"),
    ],
)
def test_pack_names_a_wrong_over_argument(
    world: World, math: Pair, over: str, code: int, kind: str, said: str
) -> None:
    world.publish(math, "acme/math", "1.0.0")
    named = ("--name", "acme/up", "--version", "1.0.0", "--over", over)
    assert said in world.fail("pack", *math, *named, code=code, kind=kind)
