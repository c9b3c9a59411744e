"""Projects with installed skills of every kind, and the outputs of their grafts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from skillpm_world import World, run_here
from tiny_adapters import Case, bert, gpt2, make
from tiny_models import llama, nudge, save
from transformers import AutoModel, AutoModelForCausalLM

import skillpm

LORA = {"target_modules": ["q_proj", "v_proj", "down_proj"], "r": 4, "lora_alpha": 6}
IDS = torch.arange(12)[None]


@dataclass(frozen=True)
class LiveWorld:
    """A project, and the kind of model of its base."""

    world: World
    base: Path
    kind: Any = AutoModelForCausalLM

    def install(self, skill: str, tuned: Path, *more: object) -> None:
        """Pack a tuned model as a skill and install it."""
        pair = (self.base, tuned)
        made = self.world.pack(pair, skill, "1.0.0", *more)
        self.world.ask("-C", self.world.project, "install", made)

    def load_model(self, **options: Any) -> Any:
        """Load the live model with copied weights: alignment of mapped files affects kernels."""
        model = skillpm.open_project(self.world.project).load_model(**options)
        return aligned(model)

    def graft(self, *skills: str) -> Any:
        """Graft some skills and load the result with transformers."""
        target = self.world.folder / "grafts" / "-".join(skills).replace("/", "-")
        target.parent.mkdir(exist_ok=True)
        only = [word for skill in skills for word in ("--only", skill)]
        self.world.ask("-C", self.world.project, "graft", *only, "-o", target)
        return aligned(self.kind.from_pretrained(target, dtype="auto").eval())


def aligned(model: Any) -> Any:
    with torch.no_grad():
        for weight in model.parameters():
            weight.data = weight.data.clone()
    return model


@torch.no_grad()
def says(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    """Return the logits of a causal LM, or the hidden states of an encoder."""
    out = model(ids)
    found: torch.Tensor = out.logits if "logits" in out else out.last_hidden_state
    return found


def start(folder: Path, model: Any, kind: Any = AutoModelForCausalLM) -> LiveWorld:
    world = World(folder)
    world.project.mkdir(parents=True)
    base = save(model, folder / "base")
    outcome = run_here("-C", world.project, "init", "--base", base, "--json")
    assert outcome.code == 0, outcome
    return LiveWorld(world, base, kind)


def _llama(folder: Path, *, tied: bool = False, dtype: torch.dtype = torch.float32) -> LiveWorld:
    found = start(folder, llama(tied=tied).to(dtype))

    def tune(seed: int, only: str = "") -> Path:
        tuned = nudge(llama(tied=tied).to(dtype), seed=seed, only=only)
        return save(tuned, folder / f"tuned-{seed}")

    found.install("acme/full", tune(1))
    found.install("acme/norms", tune(2, "norm"))
    found.install("acme/paper", tune(3), "--scheme", "graftllm")
    found.install("acme/lora", make(folder / "lora", Case(LORA, _maker(tied), dtype)).adapter)
    return found


def _maker(tied: bool) -> Callable[[], Any]:  # noqa: FBT001 - one switch
    return lambda: llama(tied=tied)


def _bert(folder: Path) -> LiveWorld:
    found = start(folder, bert(), AutoModel)
    found.install("acme/full", save(nudge(bert()), folder / "tuned"))
    case = Case({"target_modules": ["query", "value", "dense"], "r": 4}, bert)
    found.install("acme/lora", make(folder / "lora", case).adapter)
    return found


def _gpt2(folder: Path) -> LiveWorld:
    found = start(folder, gpt2())
    found.install("acme/full", save(nudge(gpt2()), folder / "tuned"))
    found.install("acme/places", save(nudge(gpt2(), only="wpe"), folder / "places"))
    case = Case({"target_modules": ["c_attn", "c_proj", "c_fc", "wte"], "r": 4}, gpt2)
    found.install("acme/lora", make(folder / "lora", case).adapter)
    return found


def _rows(folder: Path) -> LiveWorld:
    found = start(folder, llama())
    tuned = llama()
    with torch.no_grad():
        tuned.get_input_embeddings().weight[[1, 5, 90]] += 0.1
    found.install("acme/rows", save(tuned, folder / "tuned"))
    return found


MAKERS: dict[str, Callable[[Path], LiveWorld]] = {
    "llama": _llama,
    "tied": lambda folder: _llama(folder, tied=True),
    "bf16": lambda folder: _llama(folder, dtype=torch.bfloat16),
    "bert": _bert,
    "gpt2": _gpt2,
    "rows": _rows,
}
EXACT = {"acme/full", "acme/norms", "acme/places"}
"""Skills that were packed lossless."""
