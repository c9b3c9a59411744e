"""Adapters on a model with a resized vocabulary: what PEFT saves and what it does not."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from skillpm_world import World
from tiny_models import save
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPTJConfig,
    GPTJForCausalLM,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
)

from benchmarks.conformance.architectures import ARCHITECTURES, IDS, moved

BEFORE, AFTER = 96, 104
_SEQUENCES: dict[str, Any] = {
    "vocab_size": BEFORE, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "max_position_embeddings": 64, "decoder_start_token_id": 2,
    "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1, "forced_eos_token_id": None,
}  # fmt: skip
_GPTJ: dict[str, Any] = {
    "vocab_size": BEFORE, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
    "rotary_dim": 4, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def bart() -> Any:
    return BartForConditionalGeneration(BartConfig(**_SEQUENCES))


def marian() -> Any:
    return MarianMTModel(MarianConfig(**_SEQUENCES))


def gptj() -> Any:
    return GPTJForCausalLM(GPTJConfig(**_GPTJ))


def listed(name: str) -> Any:
    return ARCHITECTURES[name].make


def compute(model: PreTrainedModel) -> torch.Tensor:
    inputs = {"input_ids": IDS}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = IDS
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs).logits
    return logits


def grow(
    folder: Path, make: Any, *, count: int = AFTER, whole: bool = False, **lora: Any
) -> tuple[Path, Path, Any]:
    """A base, an adapter on it with another vocabulary, and the model that was trained.

    With `whole`, PEFT saves both embeddings; else it chooses.
    """
    torch.manual_seed(0)
    base = save(moved(make().eval(), 5, 0.02), folder / "base")
    model = type(make()).from_pretrained(base, dtype="auto").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.resize_token_embeddings(count, mean_resizing=False)
        trained = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, **lora))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in trained.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        embeddings = True if whole else "auto"
        trained.save_pretrained(str(folder / "adapter"), save_embedding_layers=embeddings)
    return base, folder / "adapter", trained.eval()


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a bias of the head": (gptj, {"target_modules": ["q_proj"]}),
    "a tied bias": (listed("BERT"), {"target_modules": ["query"]}),
    "logits' bias": (bart, {"target_modules": ["q_proj"]}),
    "a class that asks for values": (marian, {"target_modules": ["q_proj"]}),
    "fewer words": (listed("BERT"), {"target_modules": ["query"], "count": 80}),
    "a LoRA on a tied embedding": (listed("Qwen2"), {"target_modules": ["embed_tokens"]}),
    "a LoRA on a tied head": (listed("Qwen2"), {"target_modules": ["lm_head"]}),
    "a LoRA on an embedding with a tied bias": (
        listed("BERT"), {"target_modules": ["word_embeddings"]},
    ),
    "a tied embedding": (
        listed("Qwen2"), {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    ),
    "both of a tie": (
        listed("Qwen2"),
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    ),
    "a tie that PEFT keeps": (
        listed("Qwen2"),
        {
            "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"],
            "ensure_weight_tying": True,
        },
    ),
    "a tied embedding of a model with images": (
        listed("PaliGemma"),
        {"target_modules": ["k_proj"], "modules_to_save": ["embed_tokens"], "whole": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_resized_vocabulary_is_packed_completely(world: World, tmp_path: Path, case: str) -> None:
    make, lora = CASES[case]
    base, adapter, trained = grow(tmp_path, make, **lora)
    world.init(base)
    world.ask("install", world.pack((base, adapter), "acme/skill", "1.0.0"))
    world.graft_root()

    graft = type(make()).from_pretrained(world.project / "graft", dtype="auto").eval()

    assert graft.config.get_text_config().vocab_size == lora.get("count", AFTER)
    assert (compute(graft) - compute(trained)).abs().max() < 1e-4


@pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"]])
def test_rows_that_peft_did_not_save_are_named(
    world: World, tmp_path: Path, targets: list[str]
) -> None:
    base, adapter, _ = grow(tmp_path, listed("Llama"), target_modules=targets)
    saved = load_file(adapter / "adapter_model.safetensors")
    missing = {"embed_tokens": "lm_head", "lm_head": "model.embed_tokens"}[targets[0]]
    assert not any(f".{missing}." in name for name in saved)
    arguments = ("pack", base, adapter, "--name", "acme/skill", "--version", "1.0.0")
    refusal = world.fail(*arguments, code=1, kind="graft")
    assert f"`{missing}.weight` has {BEFORE} rows, and PEFT did not save the others" in refusal


def test_tied_tensor_that_peft_did_not_save_is_named(world: World, tmp_path: Path) -> None:
    base, adapter, _ = grow(
        tmp_path, listed("T5"), target_modules=["q"], modules_to_save=["shared", "lm_head"]
    )
    arguments = ("pack", base, adapter, "--name", "acme/skill", "--version", "1.0.0")
    refusal = world.fail(*arguments, code=1, kind="graft")
    assert "resizes and trains `shared.weight`, which the base ties to" in refusal


def test_head_that_peft_does_not_save_of_a_model_with_images_is_named_with_the_way_to_save_it(
    world: World, tmp_path: Path
) -> None:
    base, adapter, _ = grow(
        tmp_path, listed("PaliGemma"), target_modules=["k_proj"], modules_to_save=["embed_tokens"]
    )
    saved = load_file(adapter / "adapter_model.safetensors")
    assert not any("lm_head" in name for name in saved)
    arguments = ("pack", base, adapter, "--name", "acme/skill", "--version", "1.0.0")
    refusal = world.fail(*arguments, code=1, kind="graft")
    assert "PEFT did not save the new rows of `" in refusal
    assert "save_embedding_layers=True" in refusal
