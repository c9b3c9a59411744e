"""Adapters of a text model on a model that contains it, and the reverse."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from skillpm_world import World
from tiny_adapters import configure, put_on
from tiny_models import save

from benchmarks.conformance.architectures import ARCHITECTURES, Architecture, hf

TEXTS: dict[str, tuple[Any, Any]] = {
    "Llava": (hf.LlamaForCausalLM, lambda whole: whole.model.language_model),
    "Qwen2-VL": (hf.Qwen2ForCausalLM, lambda whole: whole.model.language_model),
}


def adapted(model: Any, folder: Path, *targets: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=list(targets)))
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if parameter.requires_grad:
                    generator = torch.Generator().manual_seed(len(name))
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        wrapped.save_pretrained(str(folder))
    return folder


def text_of(architecture: Architecture, whole: Any, folder: Path) -> Path:
    """The text part of a model as a separate model."""
    kind, part = TEXTS[architecture.name]
    keys = whole.config.text_config.to_dict()
    keys = {key: keys[key] for key in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "rms_norm_eps",
        "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "pad_token_id",
    )}  # fmt: skip
    text = kind(kind.config_class(**keys))
    text.model.load_state_dict(part(whole).state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    return save(text, folder)


@pytest.mark.parametrize("name", TEXTS)
def test_adapter_of_the_text_model_applies_to_the_whole_model(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    base = save(architecture.make(), tmp_path / "base")
    text = text_of(architecture, architecture.load(base), tmp_path / "text")
    adapter = adapted(TEXTS[name][0].from_pretrained(text), tmp_path / "adapter", "q_proj")
    configure(adapter, base_model_name_or_path="org/text")
    before = architecture.compute(architecture.load(base))
    wanted = architecture.compute(put_on(TEXTS[name][0].from_pretrained(text), adapter))
    world.init(base)
    world.ask("install", world.pack((base, adapter), "acme/skill", "1.0.0"))
    world.graft_root()
    given = architecture.compute(architecture.load(world.project / "graft"))
    moves = (wanted - before).abs().max()
    assert moves > 1e-3
    assert (given - wanted).abs().max() < 1e-3 * moves


@pytest.mark.parametrize("name", TEXTS)
def test_adapter_that_names_the_text_model_is_compared_with_it(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    base = save(architecture.make(), tmp_path / "base")
    text = text_of(architecture, architecture.load(base), tmp_path / "text")
    adapter = adapted(TEXTS[name][0].from_pretrained(text), tmp_path / "adapter", "q_proj")
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    said = world.fail("pack", base, adapter, *named, code=3, kind="integrity")
    assert f"was trained on `{text}`" in said


@pytest.mark.parametrize("name", TEXTS)
def test_adapter_of_the_whole_model_is_refused_on_the_text_model(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = ARCHITECTURES[name]
    base = save(architecture.make(), tmp_path / "base")
    whole = architecture.load(base)
    text = text_of(architecture, whole, tmp_path / "text")
    layers = [m for m, _ in whole.named_modules() if "language_model" in m and m.endswith("q_proj")]
    adapter = adapted(whole, tmp_path / "adapter", *layers)
    configure(adapter, base_model_name_or_path="org/whole")
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    said = world.fail("pack", text, adapter, *named, code=1, kind="graft")
    assert "the adapter targets `model.language_model.layers.0.self_attn.q_proj`" in said
    assert f"`{TEXTS[name][0].__name__}`" in said
    assert not (tmp_path / "a.skillpack").exists()
