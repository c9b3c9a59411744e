"""Models and texts for tests of `pack --calibration`."""

import json
from pathlib import Path

from tiny_models import copy_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


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
