"""Ranks of exported LoRAs: those that vLLM does not serve are padded with zeros."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_skills import installed
from safetensors.torch import load_file
from skillpm_world import World
from tiny_adapters import CASES, change, load, make, put_on
from tiny_models import Models

from skillpm.delta.encoding.low_rank_form import RANKS


def adapted(model: Any) -> dict[str, Any]:
    """The layers with a LoRA of a model in PEFT, by name."""
    layers = model.base_model.model.named_modules()
    return {name: layer for name, layer in layers if hasattr(layer, "lora_A")}


def whole_numbers(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Factors of small integers: PEFT multiplies them without rounding, in whatever order."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randint(-3, 4, tensor.shape, generator=generator).to(tensor.dtype)
        for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("name", ["f16 factors", "patterns", "rslora", "conv1d"])
def test_padded_lora_has_the_same_delta_in_peft_bit_for_bit(
    world: World, tmp_path: Path, name: str
) -> None:
    made = make(tmp_path / "made", CASES[name])
    change(made.adapter, whole_numbers)
    kind = type(CASES[name].make())
    installed(world, made.pair)

    world.ask("export", "acme/skill", "--format", "peft", tmp_path / "out")

    before = adapted(made.peft(kind))
    after = adapted(put_on(load(made.base, kind), tmp_path / "out"))
    assert after.keys() == before.keys()
    for module, layer in after.items():
        assert layer.r["default"] in RANKS
        delta = layer.get_delta_weight("default")
        assert delta.any()
        assert delta.equal(before[module].get_delta_weight("default"))


def test_padding_adds_zeros_and_keeps_alpha(world: World, tmp_path: Path) -> None:
    made = make(tmp_path / "made", CASES["plain"])
    installed(world, made.pair)

    done = world.ask("export", "acme/skill", "--format", "peft", tmp_path / "out")

    assert (done["rank"], done["alpha"], done["residual"]) == (8, 6, 0.0)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["rank_pattern"]) == (8, 6, {})
    own = load_file(made.adapter / "adapter_model.safetensors")
    padded = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert padded.keys() == own.keys()
    for name, factor in padded.items():
        kept, zeros = factor.split(4, dim=0 if "lora_A" in name else 1)
        assert kept.equal(own[name] if "lora_A" in name else 2 * own[name])
        assert not zeros.any()


def test_rank_own_is_refused_for_a_skill_without_a_lora(
    world: World, models: Models, tmp_path: Path
) -> None:
    installed(world, models.tuned("q_proj"))
    target = tmp_path / "out"
    said = world.fail(
        "export", "acme/skill", "--format", "peft", "--rank", "own", target, code=1, kind="graft"
    )
    assert "acme/skill 1.0.0 has no ranks of its own: its pack does not store" in said
    assert "--rank best" in said
    assert not target.exists()
