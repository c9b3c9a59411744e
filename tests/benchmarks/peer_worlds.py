"""A causal LM of a few thousand weights, its fine-tune, a tokenizer and calibration text."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny_models import VOCABULARY, llama, nudge, save
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmarks.peers import Task

WORDS = [f"w{number}" for number in range(VOCABULARY)]


def make_task(folder: Path, dtype: torch.dtype = torch.bfloat16) -> Task:
    base = save(llama().to(dtype), folder / "base")
    tuned = save(nudge(llama()).to(dtype), folder / "tuned")
    words = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token=WORDS[0])
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token=WORDS[0]).save_pretrained(base)
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(VOCABULARY, (40, 30), generator=generator).tolist()
    lines = [json.dumps({"text": " ".join(WORDS[place] for place in row)}) for row in places]
    calibration = folder / "calibration.jsonl"
    calibration.write_text("\n".join(lines) + "\n")
    scratch = folder / "scratch"
    scratch.mkdir()
    return Task(base, tuned, calibration, "causal", scratch, sequences=20, tokens=16)


def distance(state: dict[str, torch.Tensor], folder: Path) -> float:
    """‖state - model‖² over all weights."""
    other = load_file(folder / "model.safetensors")
    return sum(float((state[n].double() - other[n].double()).square().sum()) for n in other)
