"""Models and texts for tests of `pack --calibration`."""

import json
from pathlib import Path

import torch
from tiny_models import copy_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LETTERS = 29
"""The number of tokens of the tokenizer and the models."""


def with_tokenizer(model: Path, folder: Path) -> Path:
    """A copy of a model with a tokenizer of letters."""
    copied = copy_model(model, folder)
    letters = {letter: place for place, letter in enumerate("?abcdefghijklmnopqrstuvwxyz .")}
    plain = Tokenizer(models.WordLevel(letters, unk_token="?"))  # noqa: S106
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?").save_pretrained(copied)  # noqa: S106
    return copied


def write_texts(path: Path) -> Path:
    """A calibration file of JSON lines."""
    lines = [
        f"the {word} of a thing that is {word} enough to say so twice. " * 12
        for word in ("cut", "root", "leaf", "graft", "branch", "stem", "seed", "bud")
    ]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines * 3))
    return path


def causal_model(*, tied: bool = False) -> LlamaForCausalLM:
    """A causal LM of two layers with fixed random weights, in evaluation mode."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=LETTERS,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
    )
    model = LlamaForCausalLM(config)
    model.eval()
    return model
