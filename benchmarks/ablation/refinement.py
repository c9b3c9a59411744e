"""Factors of a decoded delta that are refined on text, by distillation from the tuned model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.ablation.factored_delta import ScaledTensor

ROWS = 2
"""Rows of text in a step."""


def text_rows(tokenizer: Any, text: Path, count: int, width: int) -> torch.Tensor:
    """Rows at equal distances of the concatenated text, [count, width] of int64."""
    lines = text.read_text(encoding="utf-8").splitlines()
    tokens = [token for line in lines for token in tokenizer(json.loads(line)["text"])["input_ids"]]
    rows = torch.tensor(tokens[: len(tokens) // width * width]).view(-1, width)
    return rows[torch.linspace(0, len(rows) - 1, count).long()]


def least_squares(scaled: ScaledTensor, tuned: torch.Tensor, rows: torch.Tensor) -> float:
    """⟨Δ, Δ̂⟩ / ⟨Δ̂, Δ̂⟩ of a tuned matrix [m, n], under weights of rows [m]."""
    decoded = scaled.delta.scaled(torch.ones(scaled.delta.count, 1))
    weighted = decoded * rows[:, None]
    delta = tuned.float() - scaled.base.float()
    return float((weighted * delta).sum() / (weighted * decoded).sum())


@dataclass(frozen=True)
class Teacher:
    """Rows of text [rows, tokens], and the tuned model's states and head on them."""

    rows: torch.Tensor
    states: list[torch.Tensor]
    head: torch.Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, loaded: Any, rows: torch.Tensor) -> Teacher:
        """Run the tuned model; keeps the states that the head reads, [ROWS · tokens, width]."""
        model = loaded.base_model
        states = [model(part).last_hidden_state.flatten(0, 1) for part in rows.split(ROWS)]
        return cls(rows, states, loaded.get_output_embeddings().weight.clone())

    def answers(self, step: int) -> torch.Tensor:
        """Log-probabilities [ROWS · tokens, vocabulary]."""
        return (self.states[step] @ self.head.T).log_softmax(-1)


@dataclass
class Refinement:
    """Factors [k, 1] of each tensor of a loaded model, all 1 at first."""

    found: Mapping[str, ScaledTensor]
    loaded: Any
    factors: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.factors = {name: torch.ones(one.delta.count, 1) for name, one in self.found.items()}
        self._parameters = dict(self.loaded.named_parameters())
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in self.found)

    def fit(self, teacher: Teacher, rate: float) -> list[float]:
        """Take an Adam step for every `ROWS` rows, at a falling rate; return each step's KL."""
        optimizer = torch.optim.Adam(list(self.factors.values()), lr=rate, betas=(0.9, 0.95))
        parts, losses = teacher.rows.split(ROWS), []
        for step, part in enumerate(parts):
            optimizer.param_groups[0]["lr"] = rate * (1 - step / len(parts))
            losses.append(self._gradients(part, teacher.answers(step)))
            optimizer.step()
        return losses

    def _gradients(self, rows: torch.Tensor, wanted: torch.Tensor) -> float:
        """Set the gradients of all factors; return KL(wanted ‖ own), the mean over tokens.

        Weights are rounded as in a graft, and their gradient is used as if they were not.
        """
        with torch.no_grad():
            for name, one in self.found.items():
                self._parameters[name].copy_(one.weights(self.factors[name]))
        own = self.loaded(rows).logits.flatten(0, 1).log_softmax(-1)
        loss = (wanted.exp() * (wanted - own)).sum(-1).mean()
        loss.backward()
        for name, one in self.found.items():
            self.factors[name].grad = one.delta.pull(self._parameters[name].grad)
            self._parameters[name].grad = None
        return float(loss.detach())
