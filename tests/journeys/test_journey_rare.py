"""What happens seldom: repeats after a kill, models of odd form, packs that leave nothing."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from skillpm_world import World, root_of
from tiny_models import Models, Pair, copy_model, llama, nudge, rewrite, save
from transformers import AutoModelForCausalLM

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import IntegrityError, Problems, SpecError

BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"


def _cut_off(world: World, number: int) -> None:
    """The journal of a change that was killed just before the journal went."""
    plain = {"kind": "switch", "number": number, "files": []}
    (world.project / ".skillpm" / "journal.json").write_text(json.dumps(plain))


def test_a_command_repeated_after_a_kill_tells_what_the_killed_one_did(installed: World) -> None:
    for command in (("uninstall", "acme/math"), ("rollback",)):
        done = installed.ask(*command)
        _cut_off(installed, done["generation"])
        assert installed.ask(*command) == {**done, "notes": []}
    assert installed.ask("history")["current"] == 3


def test_an_init_repeated_after_a_kill_is_done(world: World, math: Pair) -> None:
    root = world.init(math[0])
    _cut_off(world, 0)
    assert world.init(math[0]) == root
    assert world.ask("history")["current"] == 0


def test_a_head_that_was_untied_is_loaded_as_it_is_stored(world: World, tmp_path: Path) -> None:
    base = save(llama(tied=True), tmp_path / "tied-base")
    key = "model.embed_tokens.weight"
    rewrite(base, lambda tensors: tensors.update({"lm_head.weight": tensors[key].clone()}))
    tuned = copy_model(base, tmp_path / "untied")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(0.5))
    world.init(base)
    world.ask("install", world.pack((base, tuned), "acme/head", "1.0.0"))
    assert world.graft_root() == root_of(tuned)
    graft = world.project / "graft"
    config, theirs = (json.loads((folder / "config.json").read_text()) for folder in (graft, tuned))
    assert config == theirs
    ids = torch.arange(8)[None]
    with torch.no_grad():
        given, wanted = (
            AutoModelForCausalLM.from_pretrained(folder)(ids).logits for folder in (graft, tuned)
        )
    assert torch.equal(given, wanted)
    world.ask("uninstall", "acme/head")
    world.graft_root()
    assert (world.project / "graft" / "config.json").read_bytes() == (
        base / "config.json"
    ).read_bytes()


def test_a_shard_that_loses_all_its_tensors_is_not_written(
    world: World, math: Pair, tmp_path: Path
) -> None:
    base = copy_model(math[0], tmp_path / "two-shards")
    tensors = load_file(base / "model.safetensors")
    (base / "model.safetensors").rename(base / "model-00001-of-00002.safetensors")
    save_file({BUFFER: torch.rand(4)}, base / "model-00002-of-00002.safetensors")
    weight_map = dict.fromkeys(tensors, "model-00001-of-00002.safetensors")
    weight_map[BUFFER] = "model-00002-of-00002.safetensors"
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (base / "model.safetensors.index.json").write_text(index)
    world.init(base)
    world.ask("install", world.pack((base, math[1]), "acme/math", "1.0.0"))
    assert world.graft_root() == root_of(math[1]) == root_of(world.project / "graft")
    shards = [path.name for path in (world.project / "graft").glob("*.safetensors")]
    assert shards == ["model-00001-of-00002.safetensors"]


def test_a_lossy_pack_that_keeps_nothing_of_the_delta_is_refused(
    world: World, models: Models
) -> None:
    named = ("--name", "acme/none", "--version", "1.0.0", "--scheme", "graftllm", "--alpha", "0")
    text = world.fail("pack", *models.tuned("embed"), *named, code=1, kind="graft")
    assert "lossless" in text


def test_a_registry_that_the_project_forgot_is_named_when_it_is_needed(
    world: World, math: Pair
) -> None:
    world.init(math[0])
    world.ask("publish", world.pack(math, "acme/math", "1.0.0"), "--registry", "team")
    text = world.file.read_text()
    bound = '[registries]\nteam = { url = "team", namespaces = ["acme"] }\n'
    world.file.write_text(text + bound)
    world.ask("install", "acme/math")
    world.ask("uninstall", "acme/math")
    world.file.write_text(text)
    shutil.rmtree(world.home / "store")
    assert "no registry `team`" in world.fail("rollback", 1, code=2, kind="usage")
    assert world.ask("history")["current"] == 2


def test_a_file_and_a_published_skill_are_installed_together(
    world: World, models: Models, math: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    path = world.pack(models.tuned("attn"), "acme/sql", "1.0.0")
    assert len(world.ask("install", "acme/math", path)["added"]) == 2


def test_a_reference_that_names_several_releases_yanks_none(
    installed: World, models: Models
) -> None:
    installed.publish(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    text = installed.fail("yank", "acme/math", code=2, kind="usage")
    assert "acme/math@1.1.0" in text
    assert not any(one["yanked"] for one in installed.ask("show", "acme/math")["releases"])


def test_another_base_is_no_resolution_also_where_the_projects_own_is_away(
    world: World, math: Pair, tmp_path: Path
) -> None:
    other = save(nudge(llama(seed=9)), tmp_path / "other")
    world.init(other)
    world.publish(math, "acme/math", "1.0.0")
    shutil.rmtree(other)
    world.fail("install", "acme/math", code=4, kind="resolution")


def test_a_base_that_was_not_accepted_is_not_grafted(
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


def test_an_adapter_is_named_for_what_it_is(world: World, math: Pair, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert "PEFT" in world.fail("identify", adapter, code=1, kind="spec")


def test_a_file_that_shrinks_while_it_is_read_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"twelve bytes")
    file = OpenFile(path)
    path.write_bytes(b"four")
    with pytest.raises(IntegrityError, match="ended at byte 4"):
        file.read(0, 12)


def test_very_many_problems_are_counted_and_the_first_fifty_shown() -> None:
    problems = Problems("it")
    problems.extend((f"a[{n}]", "is wrong") for n in range(60))
    with pytest.raises(SpecError) as found:
        problems.raise_if_any()
    assert "60 problems" in found.value.message
    assert found.value.message.endswith("… and 10 more")


def test_a_skill_that_adds_tensors_cannot_be_scaled(world: World, models: Models) -> None:
    pair = models.pair("head")
    world.init(pair[0])
    world.publish(pair, "acme/head", "1.0.0")
    wish = '"acme/head" = { version = "*", weight = 0.5 }\n'
    world.file.write_text(world.file.read_text() + wish)
    text = world.fail("install", code=4, kind="resolution")
    assert "cannot be scaled" in text
    assert "weight = 1" in text


def test_a_tokenizer_that_was_only_written_otherwise_does_not_travel(
    world: World, math: Pair, tmp_path: Path
) -> None:
    base, tuned = (copy_model(one, tmp_path / f"t{n}") for n, one in enumerate(math))
    for folder in (base, tuned):
        (folder / "merges.txt").write_text("a b")
    (base / "tokenizer.json").write_text('{"model": {"vocab": {}}, "version": "1.0"}')
    (tuned / "tokenizer.json").write_text('{"version":"1.0","model":{"vocab":{}}}')
    pack = world.pack((base, tuned), "acme/math", "1.0.0")
    assert world.ask("inspect", pack)["manifest"]["files"] == []
    (tuned / "tokenizer.json").write_text('{"version":"1.0","model":{"vocab":{"a":true}}}')
    (base / "tokenizer.json").write_text('{"version":"1.0","model":{"vocab":{"a":1}}}')
    pack = world.pack((base, tuned), "acme/math", "1.0.1")
    files = world.ask("inspect", pack)["manifest"]["files"]
    assert [one["path"] for one in files] == ["tokenizer.json"]


def test_people_are_told_when_the_lock_runs_ahead(installed: World) -> None:
    installed.file.write_text(installed.file.read_text().replace("^1.0.0", "^2"))
    assert "skillpm install" in installed.run("list").err
    assert installed.run("list", "-q").err == ""
