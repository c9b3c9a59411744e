"""Export of modules whose names are ambiguous: projections beside embeddings, experts, routers."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from skillpm_world import World
from tiny_adapters import put_on
from tiny_models import save
from transformers import AlbertConfig, AlbertForMaskedLM, ElectraConfig, ElectraForMaskedLM

from benchmarks.conformance.architectures import ARCHITECTURES, IDS, Architecture

_SMALL = {
    "vocab_size": 96, "embedding_size": 16, "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
_TEXT = {"input_ids": IDS}
FACTORISED = {
    "Electra": (ElectraForMaskedLM, ElectraConfig, ["embeddings_project", "dense", "query"]),
    "Albert": (AlbertForMaskedLM, AlbertConfig, ["embedding_hidden_mapping_in", "query", "ffn"]),
}


def architecture_of(name: str) -> Architecture:
    if name not in FACTORISED:
        return ARCHITECTURES[name]
    kind, config, _ = FACTORISED[name]
    return Architecture(name, kind, lambda: config(**_SMALL), _TEXT)


def tuned_by(base: Path, architecture: Architecture, folder: Path, **lora: Any) -> Path:
    """PEFT's merge of an adapter whose trained tensors are all nonzero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(architecture.load(base), LoraConfig(r=4, lora_alpha=8, **lora))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        model.save_pretrained(str(folder))
    return folder


def check_export(world: World, architecture: Architecture, base: Path, tuned: Path) -> Any:
    """Check that PEFT with the exported adapter computes what the graft does."""
    path = world.pack((base, tuned), "acme/skill", "1.0.0")
    world.init(base)
    world.ask("install", path)
    world.graft_root()
    done = world.ask("export", "acme/skill", "--format", "peft", world.folder / "exported")
    before = architecture.compute(architecture.load(base))
    wanted = architecture.compute(architecture.load(world.project / "graft"))
    given = architecture.compute(put_on(architecture.load(base), world.folder / "exported"))
    moves = (wanted - before).abs().max()
    assert moves > 1e-3
    assert (given - wanted).abs().max() < 1e-3 * moves
    return done


@pytest.mark.parametrize("name", FACTORISED)
def test_projection_of_embeddings_is_exported_as_a_linear_layer(
    world: World, tmp_path: Path, name: str
) -> None:
    architecture = architecture_of(name)
    base = save(architecture.make(), tmp_path / "base")
    targets = FACTORISED[name][2]
    tuned = tuned_by(base, architecture, tmp_path / "adapter", target_modules=targets)
    done = check_export(world, architecture, base, tuned)
    assert done["left_out"] == []


@pytest.mark.parametrize(("name", "lora", "alpha"), [
    ("Qwen3-MoE", {"target_modules": "all-linear"}, 16),  # PEFT gives `gate_up_proj` rank 8
    ("Mixtral", {"target_modules": "all-linear"}, 16),
    ("Mixtral", {"target_modules": [], "target_parameters": ["mlp.experts.down_proj"]}, 8),
])  # fmt: skip
def test_lora_on_experts_is_exported_with_its_own_factors(
    world: World, tmp_path: Path, name: str, lora: dict[str, Any], alpha: int
) -> None:
    architecture = ARCHITECTURES[name]
    base = save(architecture.make(), tmp_path / "base")
    tuned = tuned_by(base, architecture, tmp_path / "adapter", **lora)
    done = check_export(world, architecture, base, tuned)
    assert (done["left_out"], done["residual"]) == ([], 0.0)
    assert (done["rank"], done["alpha"]) == (8, alpha)

    world.ask("export", "acme/skill", "--format", "peft", "--rank", "own", tmp_path / "own")

    before, after = scales(architecture, base, tuned), scales(architecture, base, tmp_path / "own")
    assert before == after
    packed, own = (load_file(f / "adapter_model.safetensors") for f in (tuned, tmp_path / "own"))
    assert own.keys() == packed.keys()
    assert all(own[key].equal(factor) for key, factor in packed.items())


def scales(architecture: Architecture, base: Path, adapter: Path) -> dict[str, tuple[int, float]]:
    """The rank and the scale of each layer in PEFT."""
    layers = put_on(architecture.load(base), adapter).base_model.model.named_modules()
    return {
        name: (layer.r["default"], layer.scaling["default"])
        for name, layer in layers
        if hasattr(layer, "lora_A")
    }


def test_lora_on_experts_in_one_tensor_is_exported_at_one_rank(
    world: World, tmp_path: Path
) -> None:
    architecture = ARCHITECTURES["gpt-oss"]
    base = save(architecture.make(), tmp_path / "base")
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    tuned = tuned_by(base, architecture, tmp_path / "adapter", target_modules=["q_proj"],
                     target_parameters=targets)  # fmt: skip
    done = check_export(world, architecture, base, tuned)
    assert (done["left_out"], done["rank"], done["alpha"]) == ([], 8, 8)
    own = ("export", "acme/skill", "--format", "peft", "--rank", "own", tmp_path / "own")
    assert "does not store the factors of a LoRA" in world.fail(*own, code=1, kind="graft")


def test_export_of_one_changed_expert_keeps_the_others(world: World, tmp_path: Path) -> None:
    architecture = ARCHITECTURES["Qwen3-MoE"]
    base = save(architecture.make(), tmp_path / "base")
    model = architecture.load(base)
    with torch.no_grad():
        model.model.layers[0].mlp.experts.down_proj[1] += 0.1 * torch.randn(32, 16)
        model.model.layers[1].mlp.gate.weight += 0.1 * torch.randn(4, 32)
    done = check_export(world, architecture, base, save(model, tmp_path / "tuned"))
    assert sum(each["tensors"] for each in done["kinds"]) == 2
