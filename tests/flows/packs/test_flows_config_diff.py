"""Two spellings of one config: the keys that a patch needs for transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from skillpm_world import World
from tiny_learners import Learners
from tiny_models import save
from transformers import AutoConfig

from benchmarks.conformance.architectures import ARCHITECTURES, Architecture, moved
from skillpm.architecture.ask import ask_facts
from skillpm.flows.pack.encode_files import read_settings
from skillpm.flows.packs.config_diff import changed_settings, needed_patch
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.spec.sidefiles import diff_patch, merge_patch

Config = dict[str, Any]


def saved(name: str) -> Config:
    """The config of an architecture as this version of transformers writes it."""
    config = ARCHITECTURES[name].config()
    config.architectures = [ARCHITECTURES[name].kind.__name__]
    config.dtype = torch.float32
    plain: Config = read_settings("config.json", config.to_json_string(use_diff=False).encode())
    return plain


def as_version_4(config: Config) -> Config:
    """The config as version 4 wrote it: flat text settings, `rope_theta`, `torch_dtype`."""
    older = dict(config)
    text = older.pop("text_config", {})
    older = {**{key: value for key, value in text.items() if key != "model_type"}, **older}
    rotary = dict(older.pop("rope_parameters", None) or {})
    theta = rotary.pop("rope_theta", None)
    if theta is not None:
        older["rope_theta"] = theta
    if "mrope_section" in rotary:
        older["rope_scaling"] = {"type": "mrope", "mrope_section": rotary["mrope_section"]}
    older["torch_dtype"] = older.pop("dtype")
    return older


def needed(before: Config, after: Config) -> Config:
    keys = ask_facts(before).config_keys
    return needed_patch(before, after, diff_patch(before, after), keys)


def reading(config: Config) -> Config:
    plain = {key: value for key, value in config.items() if key != "model_type"}
    read: Config = AutoConfig.for_model(config["model_type"], **plain).to_dict()
    return read


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen2-VL", "Qwen2.5-VL", "Qwen3-MoE"])
def test_configs_of_two_library_versions_need_no_patch(name: str) -> None:
    newer = saved(name)
    older = as_version_4(newer)
    assert older != newer
    assert needed(older, newer) == {}
    assert needed(newer, older) == {}


@pytest.mark.parametrize("turn", [lambda a, b: (a, b), lambda a, b: (b, a)])
@pytest.mark.parametrize("name", ["Qwen2-VL", "Llama"])
def test_changed_value_beside_renamed_keys_is_in_the_patch(
    name: str, turn: Callable[[Config, Config], tuple[Config, Config]]
) -> None:
    newer = saved(name)
    before, after = turn(as_version_4(newer), newer)
    place = after.get("text_config", after)
    after = {**after, "text_config": dict(place)} if place is not after else dict(after)
    after.get("text_config", after)["rms_norm_eps"] = 0.25
    patch = needed(before, after)
    part = reading(merge_patch(before, patch))
    assert part.get("text_config", part)["rms_norm_eps"] == 0.25
    assert "model_type" not in patch.get("text_config", {})


@pytest.mark.parametrize(("before", "after"), [
    ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, {"num_labels": 2}),
    ({}, {"attention_bias": False, "mlp_bias": False}),
    ({"torch_dtype": "bfloat16"}, {"dtype": "bfloat16"}),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}},
     {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}),
    ({}, {"tie_word_embeddings": False}),
    ({"model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 5000},
     {"model_type": "gpt_neox", "rope_parameters": {
        "rope_type": "default", "rope_theta": 5000, "partial_rotary_factor": 0.5}}),
    ({"model_type": "llava", "text_config": {"model_type": "llama", "rope_theta": 5e5}},
     {"model_type": "llava", "text_config": {"model_type": "llama", "rope_parameters": {
        "rope_type": "default", "rope_theta": 5e5}}}),
    ({"model_type": "llava", "text_config": {"tie_word_embeddings": True}},
     {"model_type": "llava", "tie_word_embeddings": True,
      "text_config": {"model_type": "llama", "tie_word_embeddings": True}}),
])  # fmt: skip
def test_equivalent_configs_need_no_patch(before: Config, after: Config) -> None:
    base = {"model_type": "llama", "hidden_size": 64}
    assert needed({**base, **before}, {**base, **after}) == {}
    assert needed({**base, **after}, {**base, **before}) == {}


@pytest.mark.parametrize("change", [
    {"attn_implementation": "sdpa"}, {"quantization_config": {"quant_method": "gptq"}},
    {"my_key": 1}, {"transformers_weights": "x.safetensors"}, {"tie_word_embeddings": True},
    {"rope_theta": 5e5}, {"torch_dtype": "float16"},
])  # fmt: skip
def test_changed_value_or_forbidden_key_stays_in_the_patch(change: Config) -> None:
    base = {"model_type": "llama", "hidden_size": 64}
    assert needed(base, {**base, **change}) == change


def test_fine_tune_saved_by_another_version_is_packed_without_a_config(
    world: World, tmp_path: Path
) -> None:
    architecture: Architecture = ARCHITECTURES["Qwen2-VL"]
    base = save(architecture.make(), tmp_path / "base")
    tuned = save(moved(architecture.load(base), 3, 0.02), tmp_path / "tuned")
    path = base / "config.json"
    path.write_text(json.dumps(as_version_4(json.loads(path.read_text()))))
    pack = world.pack((base, tuned), "acme/skill", "1.0.0")
    assert world.ask("inspect", pack)["manifest"]["files"] == []
    world.init(base)
    world.ask("install", pack)
    world.graft_root()
    given, wanted = (
        architecture.compute(architecture.load(f)) for f in (world.project / "graft", tuned)
    )
    assert torch.equal(given, wanted)


def test_ties_are_changed_settings_only_if_the_class_reads_them() -> None:
    ignored = frozenset({"tie_word_embeddings", "architectures"})
    for kind, expected in (("llama", set()), ("t5", {"tie_word_embeddings"})):
        old, new = (
            json.dumps({"model_type": kind, "tie_word_embeddings": ties}).encode()
            for ties in (True, False)
        )
        assert changed_settings(UntrustedModelFiles(), old, new, ignored=ignored) == expected


def test_patch_is_unchanged_without_transformers(
    learners: Learners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillpm.flows.packs.config_diff.has_transformers", lambda: False)
    config = json.loads((learners.base / "config.json").read_text())
    patch = {"dtype": None, "torch_dtype": "float32"}
    assert needed_patch(config, config, patch, ["dtype", "torch_dtype"]) == patch
