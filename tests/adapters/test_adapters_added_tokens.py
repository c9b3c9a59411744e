"""LoRAs on a model with added tokens and a tied head; PEFT is the oracle."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from skillpm_world import World
from tiny_models import llama
from transformers import AutoModelForCausalLM

from skillpm.adapters.keys import sort_keys

GROWN = 4
IDS = torch.tensor([[1, 5, 9, 22]])
CASES: dict[str, dict[str, Any]] = {
    "nothing of the vocabulary": {"target_modules": ["q_proj"]},
    "a copy of the embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "copies of both": {
        "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"],
    },
    "a copy that keeps the tie": {
        "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": True,
    },
    "factors of the embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "factors of the head": {"target_modules": ["q_proj", "lm_head"]},
    "factors of both": {"target_modules": ["embed_tokens", "lm_head"]},
}  # fmt: skip


def trained(base: Path, adapter: Path, case: dict[str, Any], **saving: Any) -> torch.Tensor:
    """Save an adapter on the base with added tokens; return what PEFT computes with it."""
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(model.config.vocab_size + GROWN, mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(model, LoraConfig(r=4, **case))
        chance = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=chance) * 0.1)
        wrapped.eval().save_pretrained(str(adapter), **saving)
    with torch.no_grad():
        found: torch.Tensor = wrapped(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("name", CASES)
def test_tied_model_with_added_tokens_computes_what_peft_does(
    world: World, tmp_path: Path, name: str
) -> None:
    base = tmp_path / "base"
    llama(tied=True).save_pretrained(base)
    expected = trained(base, tmp_path / "adapter", CASES[name])
    world.init(base)
    world.ask("install", world.pack((base, tmp_path / "adapter"), "acme/x", "1.0.0"))
    graft = AutoModelForCausalLM.from_pretrained(world.ask("graft")["path"]).eval()
    with torch.no_grad():
        assert torch.allclose(graft(input_ids=IDS).logits, expected, atol=2e-6)


def test_missing_rows_of_added_tokens_are_an_error(world: World, tmp_path: Path) -> None:
    base = tmp_path / "base"
    llama(tied=True).save_pretrained(base)
    case = CASES["a copy of the embedding"]
    trained(base, tmp_path / "adapter", case, save_embedding_layers=False)
    named = ("--name", "acme/x", "--version", "1.0.0")
    message = world.fail("pack", base, tmp_path / "adapter", *named, code=1, kind="graft")
    assert "lm_head.weight" in message
    assert "did not save the new rows" in message


def test_embedding_that_peft_writes_twice_is_read_once() -> None:
    name = "base_model.model.model.embed_tokens"
    keys = [f"{name}.modules_to_save.weight", f"{name}.original_module.weight", f"{name}.weight"]
    assert sort_keys(keys, "it").dense == {"model.embed_tokens.weight": f"{name}.weight"}
    assert sort_keys(keys[:1], "it").dense == {"model.embed_tokens.weight": keys[0]}
