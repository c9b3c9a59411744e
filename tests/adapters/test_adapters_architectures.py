"""Adapters on other architectures, with their own names, ties and layers."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from skillpm_world import World, root_of
from tiny_adapters import CASES as ADAPTERS
from tiny_adapters import Made, classifier, configure, load, make, put_on
from tiny_models import save
from transformers import AutoModelForSequenceClassification, BertModel

from benchmarks.conformance.architectures import ARCHITECTURES, Architecture, moved

HEADS = {
    "Mamba": ["lm_head"], "Whisper": ["proj_out"], "BERT": ["cls.predictions.decoder"],
    "T5": ["lm_head"], "Gemma 3": ["lm_head"],
}  # fmt: skip
EMBEDDINGS = {
    "Mamba": ["embeddings"], "Whisper": ["decoder.embed_tokens"], "BERT": ["word_embeddings"],
    "OPT": ["embed_tokens"], "T5": ["encoder.embed_tokens"],
}  # fmt: skip
RENAMED = {"Llava": ["q_proj"], "Qwen2-VL": ["q_proj"], "ViT": ["q_proj", "v_proj"]}


def adapt(folder: Path, architecture: Architecture, **lora: Any) -> Made:
    """A base of an architecture, and an adapter on it whose trained tensors are all nonzero."""
    base = save(architecture.make(), folder / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(architecture.load(base), LoraConfig(r=4, lora_alpha=8, **lora))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        model.save_pretrained(str(folder / "adapter"))
    return Made(base, folder / "adapter")


def grafted(world: World, base: Path, tuned: Path, *more: object) -> Path:
    path = world.pack((base, tuned), "acme/skill", "1.0.0", *more)
    assert world.ask("verify", path, "--base", base)["verified"] is True
    world.init(base)
    world.ask("install", path)
    world.graft_root()
    return world.project / "graft"


def check_as_peft(world: World, architecture: Architecture, made: Made) -> Path:
    """Check that the graft computes what PEFT does and differs from the base; return it."""
    before = architecture.compute(architecture.load(made.base))
    wanted = architecture.compute(put_on(architecture.load(made.base), made.adapter))
    graft = grafted(world, made.base, made.adapter)
    given = architecture.compute(architecture.load(graft))
    moves = (wanted - before).abs().max()
    assert moves > 1e-3
    assert (given - wanted).abs().max() < 1e-3 * moves
    return graft


@pytest.mark.parametrize("name", HEADS)
def test_lora_on_a_tied_head_does_not_change_the_embedding(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    check_as_peft(world, architecture, adapt(tmp_path, architecture, target_modules=HEADS[name]))


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_lora_on_an_embedding_does_not_change_the_tied_head(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    made = adapt(tmp_path, architecture, target_modules=EMBEDDINGS[name])
    check_as_peft(world, architecture, made)


def test_fine_tune_of_t5_keeps_the_output_scale_of_its_config(world: World, tmp_path: Path) -> None:
    architecture = ARCHITECTURES["T5"]
    base = save(architecture.make(), tmp_path / "base")
    tuned = save(moved(architecture.load(base), 8, 0.02), tmp_path / "tuned")
    file = tuned / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = tensors["shared.weight"] + 0.01
    save_file(tensors, file, metadata={"format": "pt"})
    for folder in (base, tuned):
        path = folder / "config.json"
        config = json.loads(path.read_text())
        for key in ("tie_word_embeddings", "scale_decoder_outputs"):
            config.pop(key, None)
        path.write_text(json.dumps(config))

    graft = grafted(world, base, tuned)

    assert "tie_word_embeddings" not in json.loads((graft / "config.json").read_text())
    given, wanted = (architecture.compute(architecture.load(f)) for f in (graft, tuned))
    assert torch.equal(given, wanted)


@pytest.mark.parametrize("name", RENAMED)
def test_adapter_round_trips_if_a_checkpoint_uses_other_names(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    made = adapt(tmp_path / "made", architecture, target_modules=RENAMED[name])
    graft = check_as_peft(world, architecture, made)
    world.ask("export", "acme/skill", "--format", "peft", tmp_path / "exported")
    again = architecture.compute(put_on(architecture.load(made.base), tmp_path / "exported"))
    assert (again - architecture.compute(architecture.load(graft))).abs().max() < 1e-4


def test_modules_of_a_mixed_model_are_laid_out_by_their_class(world: World, tmp_path: Path) -> None:
    architecture = ARCHITECTURES["BERT + GPT-2"]
    made = adapt(tmp_path, architecture, target_modules=["query", "key", "value", "c_proj"])
    check_as_peft(world, architecture, made)


@pytest.mark.parametrize("name", ["Qwen3-MoE", "Mixtral"])
def test_lora_on_all_linear_layers_of_a_moe_is_merged_like_peft(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    made = adapt(tmp_path / "made", architecture, target_modules="all-linear")
    assert json.loads((made.adapter / "adapter_config.json").read_text())["target_parameters"]

    graft = check_as_peft(world, architecture, made)

    merged = put_on(architecture.load(made.base), made.adapter).merge_and_unload()
    ours = architecture.load(graft).state_dict()
    for tensor, theirs in merged.state_dict().items():
        assert (ours[tensor] - theirs).abs().max() < 1e-6


def test_lora_on_fused_experts_is_merged_like_peft(world: World, tmp_path: Path) -> None:
    architecture = ARCHITECTURES["gpt-oss"]
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    made = adapt(
        tmp_path / "made", architecture, target_modules=["q_proj"], target_parameters=targets
    )
    check_as_peft(world, architecture, made)


def test_export_refuses_a_skill_on_modules_that_peft_does_not_support(
    world: World, tmp_path: Path
) -> None:
    architecture = ARCHITECTURES["Mamba"]
    base = save(architecture.make(), tmp_path / "base")
    model = architecture.load(base)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "out_proj" in name:
                parameter.add_(0.1)
    grafted(world, base, save(model, tmp_path / "tuned"))
    target = tmp_path / "exported"
    text = world.fail("export", "acme/skill", "--format", "peft", target, code=1, kind="graft")
    assert "out_proj" in text
    assert "PEFT refuses it" in text
    assert not target.exists()


def test_adapter_with_a_classifier_records_it_in_the_config(world: World, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = save(BertModel(classifier().config), tmp_path / "base")
    kind: Any = AutoModelForSequenceClassification
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lora = LoraConfig(target_modules=["query"], r=4, task_type="SEQ_CLS")
        model = get_peft_model(kind.from_pretrained(base, num_labels=5), lora)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1)
        model.save_pretrained(str(tmp_path / "adapter"))

    graft = grafted(world, base, tmp_path / "adapter")

    config = json.loads((graft / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    ids = torch.arange(8)[None]
    with torch.no_grad():
        wanted, given = model.eval()(ids).logits, load(graft, kind)(ids).logits
    assert given.shape == (1, 5)
    assert (given - wanted).abs().max() < 1e-5


def test_folder_with_a_model_and_an_adapter_requires_tuned_is(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", ADAPTERS["plain"])
    both = made.merged(tmp_path / "both")
    for file in made.adapter.glob("adapter_*"):
        shutil.copy(file, both)
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    text = world.fail("pack", made.base, both, *named, code=1, kind="spec")
    assert "--tuned-is model" in text
    world.ask("pack", made.base, both, *named, "--tuned-is", "adapter")
    codecs = {each["codec"] for each in _footprint(world, tmp_path / "a.skillpack")}
    assert codecs == {"lowrank"}
    world.ask("pack", made.base, both, *named, "--tuned-is", "model")
    assert {each["codec"] for each in _footprint(world, tmp_path / "a.skillpack")} != codecs


def _footprint(world: World, pack: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ask("inspect", pack)["manifest"]["footprint"]
    return found


def test_adapter_beside_the_base_is_not_part_of_a_graft(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", ADAPTERS["plain"])
    tuned = made.merged(tmp_path / "tuned")
    for file in made.adapter.glob("adapter_*"):
        shutil.copy(file, made.base)
    graft = grafted(world, made.base, tuned)
    assert not list(graft.glob("adapter_*"))
    assert root_of(graft) == root_of(tuned)


def test_missing_base_of_an_adapter_is_reported_as_unchecked(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", ADAPTERS["plain"])
    configure(made.adapter, base_model_name_or_path="acme/other-model")
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    outcome = world.run("pack", *made.pair, *named)
    assert outcome.code == 0
    assert "`acme/other-model`, which is not on this machine" in outcome.err
    assert "cannot check that" in outcome.err


def test_base_in_the_local_hub_cache_is_compared_by_content(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path / "made", ADAPTERS["plain"])
    configure(made.adapter, base_model_name_or_path="acme/model")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    cached, commit = tmp_path / "hub" / "models--acme--model", "0123456789" * 4
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    snapshot = cached / "snapshots" / commit
    shutil.copytree(made.base, snapshot)
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    outcome = world.run("pack", *made.pair, *named)
    assert outcome.code == 0
    assert "cannot check" not in outcome.err

    tensors = load_file(snapshot / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] + 1
    save_file(tensors, snapshot / "model.safetensors", metadata={"format": "pt"})
    text = world.fail("pack", *made.pair, *named, code=3, kind="integrity")
    assert "was trained on" in text


def test_lora_on_an_embedding_of_an_unknown_architecture_is_refused(
    world: World, tmp_path: Path
) -> None:
    made = make(tmp_path / "made", ADAPTERS["embedding"])
    path = made.base / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "of-my-own"}))
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    text = world.fail("pack", *made.pair, *named, code=1, kind="graft")
    assert "`model.embed_tokens`" in text
    assert "cannot know whether" in text
