"""Compare a candidate's predictions on held-out text with those of the tuned causal LM."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.finetunes import causal
from benchmarks.finetunes.measure import Slot, share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.finetunes.measure import Candidate

PART = 16


@dataclass(frozen=True, slots=True)
class CausalMeasured:
    """Means over all tokens: `loss` and `kl`, KL(tuned ‖ candidate), in nats.

    `agreement` is the share of tokens for which both models' top prediction is the same.
    """

    loss: float
    gain_kept: float
    gain_error: float
    kl: float
    agreement: float

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return asdict(self)


class CausalEvaluator:
    """Keeps the tuned model's log-probabilities of every token: 4 bytes × tokens × vocabulary."""

    def __init__(self, *, base: Path, tuned: Path, rows: torch.Tensor) -> None:
        self._rows = rows  # [rows, context]
        self._slot = Slot(causal.load(tuned), tuned=tuned, base=base)
        self._answers = torch.cat(list(self._logits(tuned)))  # [rows, context - 1, vocabulary]
        self._tuned = _losses(self._answers, rows)
        self._base = self._run(base)[0]
        self.base = self.measure(base)
        self.tuned = self.measure(tuned)

    def measure(self, candidate: Candidate) -> CausalMeasured:
        """One pass over the held-out rows in float32."""
        losses, kl, agreement = self._run(candidate)
        kept = share(self._base, self._tuned, losses)
        return CausalMeasured(float(losses.mean()), kept.value, kept.error, kl, agreement)

    def _run(self, candidate: Candidate) -> tuple[torch.Tensor, float, float]:
        """The mean loss of each row, [rows]; mean KL and agreement."""
        losses, divergence, agreed, start = [], 0.0, 0, 0
        for part in self._logits(candidate):
            answers = self._answers[start : start + len(part)]
            losses.append(_losses(part, self._rows[start : start + len(part)]))
            divergence += float((answers.exp() * (answers - part)).sum(dtype=torch.float64))
            agreed += int((answers.argmax(dim=-1) == part.argmax(dim=-1)).sum())
            start += len(part)
        count = self._answers.shape[0] * self._answers.shape[1]
        return torch.cat(losses), divergence / count, agreed / count

    def _logits(self, candidate: Candidate) -> Iterator[torch.Tensor]:
        """Log-probabilities of the next token, in batches of [batch, context - 1, vocabulary]."""
        model = self._slot.fill(candidate)
        for part in self._rows.split(PART):
            with torch.inference_mode():
                yield model(input_ids=part).logits[:, :-1].log_softmax(dim=-1)


def _losses(answers: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each row, [rows]."""
    right = answers.gather(-1, rows[:, 1:, None]).squeeze(-1)  # [rows, context - 1]
    return -right.double().mean(dim=1)
