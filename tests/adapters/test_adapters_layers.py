"""Adapters on layers that PEFT treats specially: convolutions, torch's attention."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from skillpm_world import World
from tiny_models import save

from benchmarks.conformance.architectures import ARCHITECTURES


def adapted(folder: Path, name: str, *targets: str, **lora: Any) -> tuple[Path, Path]:
    """A base of an architecture of the list, and an adapter on it with nonzero tensors."""
    architecture = ARCHITECTURES[name]
    base = save(architecture.make(), folder / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=4, lora_alpha=8, target_modules=list(targets), **lora)
        model = get_peft_model(architecture.load(base), config)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        model.save_pretrained(str(folder / "adapter"))
    return base, folder / "adapter"


REFUSED = {
    "one axis": ("Wav2Vec2", "encoder.pos_conv_embed.conv", "spec", "is a convolution"),
    "two axes": ("ResNet", "convolution", "spec", "is a convolution"),
    "torch's attention": ("SigLIP", "head.attention", "graft", "a `MultiheadAttention` of torch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_layer_that_cannot_be_packed_from_factors_is_named(
    world: World, tmp_path: Path, case: str
) -> None:
    name, target, kind, reason = REFUSED[case]
    base, adapter = adapted(tmp_path, name, target)
    arguments = ("pack", base, adapter, "--name", "acme/skill", "--version", "1.0.0")
    refusal = world.fail(*arguments, code=1, kind=kind)
    assert reason in refusal
    assert "merge it first" in refusal


def test_output_projection_of_torch_attention_is_packed_like_peft(
    world: World, tmp_path: Path
) -> None:
    architecture = ARCHITECTURES["SigLIP"]
    base, adapter = adapted(tmp_path, "SigLIP", "head.attention.out_proj")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(architecture.load(base), str(adapter))
        wanted = model.merge_and_unload()
    path = world.pack((base, adapter), "acme/skill", "1.0.0")
    world.init(base)
    world.ask("install", path)
    world.graft_root()
    graft = architecture.load(world.project / "graft")
    assert (architecture.compute(graft) - architecture.compute(wanted)).abs().max() < 1e-5

    refusal = world.fail(
        "export", "acme/skill", "--format", "peft", tmp_path / "exported", code=1, kind="graft"
    )
    assert "read directly by torch's attention" in refusal
