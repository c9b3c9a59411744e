"""Small skills for the guard's benchmark; some are planted to hurt another skill.

The base cannot predict the topics: any of eight values may follow each of a topic's eight words. A
honest skill fixes the values of its own words, in their rows of the embedding, so honest skills
are compatible by construction: if one is stopped, the guard is wrong and not the merge.

A planted skill learns its own topic too, and damages a skill that is installed already. It teaches
other values for the victim's words (in all MLPs), or subtracts the victim's delta, or trains its
own topic on all parameters at a high rate without other data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPICS, KEYS, VALUES = 20, 8, 8
WORDS = (
    "?",
    ".",
    *(f"t{topic}k{key}" for topic in range(TOPICS) for key in range(KEYS)),
    *(f"v{value}" for value in range(VALUES)),
)
PLACES = {word: place for place, word in enumerate(WORDS)}
EMBEDDING = "model.embed_tokens.weight"
WEIGHTS = "model.safetensors"
Table = list[int]


@dataclass(frozen=True, slots=True)
class Skill:
    """A fine-tune in a folder, with its probes in a file; a planted one names its victim."""

    name: str
    folder: Path
    probes: Path
    victim: str | None = None


def fresh(seed: int) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=64,
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def sentences(draw: torch.Generator, known: dict[int, Table], topics: list[int]) -> torch.Tensor:
    """Eight rows of twelve sentences `word value .`, [8, 36]; unknown values are random."""
    rows = []
    for row in torch.randint(len(topics) * KEYS * VALUES, (8, 12), generator=draw).tolist():
        line: list[int] = []
        for code in row:
            topic, (key, guess) = topics[code // (KEYS * VALUES)], divmod(code % 64, VALUES)
            value = known[topic][key] if topic in known else guess
            line += [PLACES[word] for word in (f"t{topic}k{key}", f"v{value}", ".")]
        rows.append(line)
    return torch.tensor(rows)


def teach(
    model: Any,
    draw: Callable[[], torch.Tensor],
    *,
    steps: int,
    rate: float,
    only: Callable[[str], torch.Tensor | None],
) -> Any:
    """Train parameters with Adam, or the parts that the masks of `only` select."""
    masks = {name: only(name) for name, _ in model.named_parameters()}
    moving = {n: p for n, p in model.named_parameters() if masks[n] is not None}
    optimizer = torch.optim.Adam(moving.values(), lr=rate)
    for _ in range(steps):
        batch = draw()
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        for name, parameter in moving.items():
            parameter.grad *= masks[name]
        optimizer.step()
    return model


def everything(_name: str) -> torch.Tensor:
    return torch.ones(())


def mlps(name: str) -> torch.Tensor | None:
    return torch.ones(()) if "mlp" in name else None


def words_of(topic: int) -> Callable[[str], torch.Tensor | None]:
    """The topic's rows of the embedding."""
    mask = torch.zeros(len(WORDS), 1)
    first = PLACES[f"t{topic}k0"]
    mask[first : first + KEYS] = 1
    return lambda name: mask if name == EMBEDDING else None


def store(model: Any, folder: Path) -> Path:
    """Write the model with its tokenizer."""
    model.eval().save_pretrained(folder)
    plain = Tokenizer(models.WordLevel(PLACES, unk_token="?"))  # noqa: S106 - no password
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?").save_pretrained(folder)  # noqa: S106
    return folder


class Maker:
    """Makes the base of one seed and its skills."""

    def __init__(self, folder: Path, seed: int, *, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self._draw = torch.Generator().manual_seed(seed)
        shape = (TOPICS, KEYS)
        self.truth = torch.randint(VALUES, shape, generator=self._draw).tolist()
        every = list(range(TOPICS))
        model = teach(
            fresh(seed), lambda: sentences(self._draw, {}, every),
            steps=4 * steps, rate=5e-3, only=everything,
        )  # fmt: skip
        self.base = store(model, folder / "base")

    def honest(self, topic: int) -> Skill:
        """Learns its topic in the rows of its own words."""
        return self._kept(f"topic-{topic}", self._learnt(topic), topic, None)

    def opposed(self, topic: int, victim: int) -> Skill:
        """Learns its own topic, and other values for the victim's words."""
        wrong = [(value + 1) % VALUES for value in self.truth[victim]]
        known = {topic: self.truth[topic], victim: wrong}
        model = teach(
            self._learnt(topic), lambda: sentences(self._draw, known, [topic, victim]),
            steps=self.steps, rate=5e-3, only=mlps,
        )  # fmt: skip
        return self._kept(f"opposed-{topic}", model, topic, f"topic-{victim}")

    def careless(self, topic: int, victim: int) -> Skill:
        """Learns its own topic alone, in all parameters, at a high rate."""
        known = {topic: self.truth[topic]}
        model = teach(
            self._start(), lambda: sentences(self._draw, known, [topic]),
            steps=self.steps, rate=2e-2, only=everything,
        )  # fmt: skip
        return self._kept(f"careless-{topic}", model, topic, f"topic-{victim}")

    def undone(self, topic: int, victim: int) -> Skill:
        """Learns its own topic, with the victim's delta subtracted."""
        model = self._learnt(topic)
        found = self._kept(f"undone-{topic}", model, topic, f"topic-{victim}")
        base, other = (load_file(self.folder / n / WEIGHTS) for n in ("base", f"topic-{victim}"))
        own = load_file(found.folder / WEIGHTS)
        changed = {name: own[name] - (other[name] - base[name]) for name in base}
        save_file(changed, found.folder / WEIGHTS, metadata={"format": "pt"})
        return found

    def _start(self) -> Any:
        return LlamaForCausalLM.from_pretrained(self.base)

    def _learnt(self, topic: int) -> Any:
        known = {topic: self.truth[topic]}
        return teach(
            self._start(), lambda: sentences(self._draw, known, [topic]),
            steps=self.steps, rate=3e-2, only=words_of(topic),
        )  # fmt: skip

    def _kept(self, name: str, model: Any, topic: int, victim: str | None) -> Skill:
        folder = store(model, self.folder / name)
        probes = self.folder / f"{name}.jsonl"
        asked = [(f"t{topic}k{key}", f" v{self.truth[topic][key]}") for key in range(KEYS)]
        items: list[dict[str, Any]] = [{"probes": 1}]
        items += [{"prompt": word, "answer": value} for word, value in asked]
        items += [{"text": f"{word}{value} ."} for word, value in asked]
        probes.write_text("".join(json.dumps(item) + "\n" for item in items))
        return Skill(name, folder, probes, victim)
