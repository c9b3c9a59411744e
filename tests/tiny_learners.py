"""A tiny causal LM that can learn: letters as tokens, a base trained on some lines, and tunings."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from skillpm_world import World
from tiny_models import save
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

LETTERS = "?abcdefghijklmnopqrstuvwxyz .=+0123456789\n"
GENERAL = ("the cat sat on the mat. ", "a dog ran to the tree. ", "we read one book. ",
           "0+5=x. ", "b=1+2. ", "kq=7. 8+9. ", "3+4. zv=6. ", "jug=pow. ")  # fmt: skip
MATH = tuple(f"{a}+{b}={(a + b) % 10}. " for a, b in ((1, 2), (3, 4), (2, 2), (5, 1), (4, 4)))
COLORS = ("sky=blue. ", "sun=gold. ", "sea=teal. ", "ash=gray. ", "ink=jet. ")

NOISE = ("q7x=z+9 . k3", "0j=w8+v. 5=q", "z.z=+4 =h2v ")


def tokenizer() -> Any:
    """One token per letter."""
    letters = {letter: place for place, letter in enumerate(LETTERS)}
    plain = Tokenizer(models.WordLevel(letters, unk_token="?"))  # noqa: S106
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?", pad_token="?")  # noqa: S106


def fresh(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(LETTERS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def train(
    model: Any, lines: Sequence[str], *, steps: int, rate: float = 1e-2, only: str = ""
) -> Any:
    """Train on lines in random order; `only` restricts training to parameters with that name."""
    draw = torch.Generator().manual_seed(0)
    ids = {letter: place for place, letter in enumerate(LETTERS)}
    moving = [p for name, p in model.named_parameters() if only in name]
    optimizer = torch.optim.Adam(moving, lr=rate)
    torch.set_num_threads(1)  # threads that wait for a busy core make this fifty times slower
    for _ in range(steps):
        rows = []
        for _ in range(8):
            order = torch.randint(len(lines), (16,), generator=draw).tolist()
            rows.append([ids[c] for c in "".join(lines[at] for at in order)[:48]])
        batch = torch.tensor(rows)
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
    return model


def store(model: Any, folder: Path) -> Path:
    """The model with its tokenizer, as transformers saves both."""
    save(model.eval(), folder)
    tokenizer().save_pretrained(folder)
    return folder


def write_probes(path: Path, items: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


class Learners:
    """A base and its fine-tunes, each made on first use. Tests must not write to them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}
        self._packs: dict[str, Path] = {}

    def pack(self, world: World, name: str, *more: object) -> Path:
        """A pack `acme/NAME` 1.0.0 of the fine-tune of that name, made once."""
        key = " ".join([name, *(Path(str(one)).name for one in more)])
        if key not in self._packs:
            made = world.pack(getattr(self, name), f"acme/{name}", "1.0.0", *more)
            kept = self._folder / f"{len(self._packs)}"
            kept.mkdir()
            self._packs[key] = Path(shutil.copy(made, kept))
        return self._packs[key]

    @property
    def base(self) -> Path:
        """Trained on the general lines."""
        if "base" not in self._made:
            model = train(fresh(), GENERAL, steps=60)
            self._made["base"] = store(model, self._folder / "base")
        return self._made["base"]

    def tuned(self, name: str, lines: Sequence[str], **how: Any) -> tuple[Path, Path]:
        """The base, and a fine-tune of it on these lines."""
        base = self.base
        if name not in self._made:
            torch.manual_seed(0)
            model = LlamaForCausalLM.from_pretrained(base)
            self._made[name] = store(train(model, lines, **how), self._folder / name)
        return base, self._made[name]

    @property
    def slight(self) -> tuple[Path, Path]:
        """Trained a little on the noise: harmless at a lower weight."""
        return self.tuned("slight", NOISE, steps=6, only="mlp")

    @property
    def math(self) -> tuple[Path, Path]:
        """Trained on sums in its MLPs."""
        return self.tuned("math", (*MATH, *GENERAL), steps=150, only="mlp")

    @property
    def colors(self) -> tuple[Path, Path]:
        """Trained on colours in its attention."""
        return self.tuned("colors", (*COLORS, *GENERAL), steps=150, only="self_attn")

    @property
    def gentle(self) -> tuple[Path, Path]:
        """Changed so little that it harms no other skill."""
        return self.tuned("gentle", GENERAL, steps=2, rate=1e-4, only="layernorm")

    @property
    def noise(self) -> tuple[Path, Path]:
        """Trained on noise, in the MLPs, at a high rate."""
        return self.tuned("noise", NOISE, steps=20, rate=5e-2, only="mlp")


MATH_PROBES: tuple[dict[str, Any], ...] = (
    {"probes": 1, "tolerance": 0.1},
    *({"text": line * 2} for line in MATH),
    *({"prompt": f"{line}{line[:4]}", "answer": line[4]} for line in MATH),
)
COLOR_PROBES: tuple[dict[str, Any], ...] = tuple({"text": line * 2} for line in COLORS)


def encoder(folder: Path, *, seed: int = 0) -> Path:
    """A tiny untrained sentence encoder with the same letters."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(LETTERS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=64,
    )  # fmt: skip
    return store(BertModel(config), folder)
