"""Installing a skill on a base other than its own."""

import json
import shutil
from pathlib import Path

from skillpm_world import World, root_of
from tiny_models import Models, Pair, copy_model, llama, nudge, rewrite, save


def test_install_on_another_base_has_no_resolution(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    other = save(llama(seed=7), tmp_path / "other")
    root = world.init(other)
    world.publish(math, "acme/math", "1.0.0")
    text = world.fail("install", "acme/math", code=4, kind="resolution")
    assert root[:15] in text
    assert root_of(math[0])[:15] in text
    assert world.ask("list")["generation"] == 0


def test_install_accept_footprint_accepts_a_base_without_a_buffer(
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


BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"


def test_install_on_a_missing_other_base_has_no_resolution(
    world: World, math: Pair, tmp_path: Path
) -> None:
    other = save(nudge(llama(seed=9)), tmp_path / "other")
    world.init(other)
    world.publish(math, "acme/math", "1.0.0")
    shutil.rmtree(other)
    world.fail("install", "acme/math", code=4, kind="resolution")


def test_graft_refuses_a_base_that_was_not_accepted(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, _ = models.pair("buffer")
    tuned = copy_model(base, tmp_path / "tuned")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(0.5))
    resaved = copy_model(base, tmp_path / "resaved")
    rewrite(resaved, lambda tensors: tensors.pop(BUFFER))
    world.init(resaved)
    world.publish((base, tuned), "acme/math", "1.0.0")
    world.ask("install", "acme/math", "--accept-footprint")
    path = world.project / ".skillpm" / "generations" / "1.json"
    plain = json.loads(path.read_text())
    plain["lock"] = plain["lock"].replace("accept_footprint = true\n", "")
    path.write_text(json.dumps(plain))
    assert "was built for the base" in world.fail("graft", code=3, kind="integrity")
