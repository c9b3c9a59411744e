"""The models of the tutorial: a tiny base, and two fine-tunes of it, with probes and examples.

`python -m examples.first_hour FOLDER` writes them in less than a minute. The language models have
20,000 parameters and a token for each letter, so that every command of the tutorial takes seconds.
"""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

LETTERS = "?abcdefghijklmnopqrstuvwxyz .=+0123456789\n"
GENERAL = (
    "the cat sat on the mat. ", "a dog ran to the tree. ", "we read one book. ", "0+5=x. ",
    "b=1+2. ", "kq=7. 8+9. ", "3+4. zv=6. ", "jug=pow. ",
)  # fmt: skip
SUMS = tuple(f"{a}+{b}={a + b}. " for a in range(1, 6) for b in range(1, 5))
COLOURS = (
    "sky=blue. ", "sun=gold. ", "sea=teal. ", "ash=gray. ", "ink=jet. ", "leaf=green. ",
    "rose=red. ", "snow=white. ", "coal=black. ", "plum=violet. ",
)  # fmt: skip
TOLERANCE = 0.3
"""The share of its gain that a skill may lose; the router of so small a base makes errors."""
ROW = 48
"""Letters of a row of training."""


def tokenizer() -> Any:
    """One token for each letter."""
    letters = {letter: place for place, letter in enumerate(LETTERS)}
    plain = Tokenizer(models.WordLevel(letters, unk_token="?"))  # noqa: S106 - no secret
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    plain.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?", pad_token="?")  # noqa: S106


def untrained() -> Any:
    """A Llama of two layers with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(LETTERS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def train(model: Any, lines: Sequence[str], steps: int) -> Any:
    """Train on lines in random order, eight rows in each step."""
    draw = torch.Generator().manual_seed(0)
    spell = {letter: place for place, letter in enumerate(LETTERS)}
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        orders = torch.randint(len(lines), (8, 16), generator=draw).tolist()
        texts = ["".join(lines[at] for at in order)[:ROW] for order in orders]
        batch = torch.tensor([[spell[letter] for letter in text] for text in texts])
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
    return model.eval()


def save(model: Any, folder: Path) -> None:
    """Write the model with its tokenizer."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def write_lines(path: Path, items: Sequence[dict[str, Any]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def main(folder: Path) -> None:
    """Train and write the three models, and the files for `pack --probes` and `pack --router`."""
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    save(train(untrained(), GENERAL, 120), folder / "model")
    write_lines(folder / "general.jsonl", [{"text": line * 2} for line in GENERAL])
    print(f"trained {folder / 'model'}")
    for name, lines in (("sums", SUMS), ("colours", COLOURS)):
        base = LlamaForCausalLM.from_pretrained(folder / "model")
        save(train(base, (*lines, *lines, *GENERAL), 400), folder / name)
        questions = [
            {"prompt": line[: line.index("=") + 1], "answer": line.strip()[line.index("=") + 1 :]}
            for line in lines
        ]
        header = {"probes": 1, "tolerance": TOLERANCE}
        write_lines(folder / f"{name}-probes.jsonl", [header, *questions])
        write_lines(folder / f"{name}-examples.jsonl", [{"text": line * 2} for line in lines])
        print(f"trained {folder / name}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
