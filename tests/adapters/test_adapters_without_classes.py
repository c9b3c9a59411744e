"""Adapters without an installed transformers: names come from the table that ships with skillpm."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from skillpm_world import World
from tiny_adapters import Made
from tiny_models import save

from benchmarks.conformance.architectures import ARCHITECTURES, Architecture
from skillpm.architecture import ask
from skillpm.architecture.renaming import OlderNames
from skillpm.architecture.table import shipped_table
from skillpm.flows.packs import module_layout as layout

TARGETS = {
    "ViT": ["q_proj", "fc1"], "Llava": ["q_proj", "linear_1"], "Qwen2-VL": ["q_proj", "qkv"],
    "Qwen2.5-VL": ["q_proj"], "CLIP": ["q_proj", "text_projection"], "GPT-NeoX": ["lm_head"],
    "Mixtral": ["q_proj"], "BERT": ["query", "decoder"], "T5": ["q", "lm_head"],
    "Whisper": ["q_proj", "proj_out"], "Mamba": ["x_proj", "lm_head"], "OPT": ["embed_tokens"],
    "GPT-2": ["c_attn", "wte"], "Gemma 3": ["embed_tokens", "q_proj"], "DistilBERT": ["q_lin"],
}  # fmt: skip


def adapter(folder: Path, architecture: Architecture, targets: list[str], **lora: Any) -> Made:
    base = save(architecture.make(), folder / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(
            architecture.load(base), LoraConfig(r=4, target_modules=targets, **lora)
        )
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        model.save_pretrained(str(folder / "adapter"))
    return Made(base, folder / "adapter")


def result(world: World, made: Made) -> tuple[str, list[str]]:
    """The root of base + pack, and the digests of the side files."""
    path = world.folder / "a.skillpack"
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", path)
    world.ask("pack", *made.pair, *named)
    manifest = world.ask("inspect", path)["manifest"]
    path.unlink()
    return manifest["result_root"], [file["digest"] for file in manifest["files"]]


def without_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "has_transformers", lambda: False)
    monkeypatch.setattr(ask, "_installed", lambda: None)


@pytest.mark.parametrize("name", TARGETS)
def test_shipped_table_places_an_adapter_like_the_class(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made = adapter(tmp_path, ARCHITECTURES[name], TARGETS[name])
    asked = result(world, made)
    without_classes(monkeypatch)
    assert result(world, made) == asked


def test_released_checkpoint_names_are_the_oldest_of_the_table(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = ARCHITECTURES["Llava"]
    made = adapter(tmp_path, architecture, ["q_proj"])
    older = OlderNames(shipped_table().architectures["llava"].names[architecture.kind.__name__])
    tensors = load_file(made.base / "model.safetensors")
    state = architecture.load(made.base).state_dict()
    running = {tensor: form for form in state for tensor in older.forms(form)}
    renamed = {older.oldest(running[tensor]): value for tensor, value in tensors.items()}
    assert "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight" in renamed
    assert renamed.keys() != tensors.keys()
    save_file(renamed, made.base / "model.safetensors", metadata={"format": "pt"})
    asked = result(world, made)
    without_classes(monkeypatch)
    assert result(world, made) == asked


def test_unknown_architecture_gives_a_hint_to_install_transformers(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = adapter(
        tmp_path, ARCHITECTURES["Qwen3-MoE"], ["q_proj"], target_parameters=["experts.down_proj"]
    )
    without_classes(monkeypatch)
    named = ("--name", "acme/skill", "--version", "1.0.0", "-o", tmp_path / "a.skillpack")
    said = world.fail("pack", *made.pair, *named, code=1, kind="graft")
    assert "skillpm-graft[hf]" in said


def test_shipped_table_maps_names_one_to_one() -> None:
    for entry in shipped_table().architectures.values():
        for names in entry.names.values():
            assert len(set(names.values())) == len(names)
            assert all(key != value for key, value in names.items())
