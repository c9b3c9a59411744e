"""Models of unusual form: untied heads, emptied shards, reformatted tokenizers."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from skillpm_world import World, root_of
from tiny_models import Models, Pair, copy_model, llama, rewrite, save
from transformers import AutoModelForCausalLM

BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"


def test_graft_of_an_untied_head_loads_as_stored(world: World, tmp_path: Path) -> None:
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


def test_graft_does_not_write_a_shard_without_tensors(
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


def test_pack_refuses_a_lossy_setting_that_keeps_no_delta(world: World, models: Models) -> None:
    named = ("--name", "acme/none", "--version", "1.0.0", "--scheme", "graftllm", "--alpha", "0")
    text = world.fail("pack", *models.tuned("embed"), *named, code=1, kind="graft")
    assert "lossless" in text


def test_identify_refuses_an_adapter_by_name(world: World, math: Pair, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    assert "PEFT" in world.fail("identify", adapter, code=1, kind="spec")


def test_pack_omits_a_tokenizer_that_differs_only_in_formatting(
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
