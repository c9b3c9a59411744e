"""Compare a candidate with the tuned model on held-out documents, with bootstrap intervals.

The tuned model's distributions are not kept (200 kB a token), but its last hidden states are, from
which its logits are computed again: 576 numbers a token.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.finetunes import causal
from benchmarks.finetunes.measure import Slot, tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.finetunes.measure import Candidate

ROWS = 4
"""Documents in a forward pass."""
RESAMPLES = 2000
LEVEL = 0.95
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the bounds of its 95 % bootstrap interval over documents."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DocumentsMeasured:
    """Figures over all tokens that count: loss and KL(tuned ‖ candidate) in nats a token.

    `gain_kept` is 0 for the base and 1 for the tuned model. `agreement` is the share of tokens for
    which both models' top prediction is the same. Each has the bounds of its interval.
    """

    loss: float
    gain_kept: float
    gain_low: float
    gain_high: float
    kl: float
    kl_low: float
    kl_high: float
    agreement: float

    @property
    def gain_error(self) -> float:
        """Half the width of the interval of `gain_kept`."""
        return (self.gain_high - self.gain_low) / 2

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over each document's tokens, [documents] each."""

    tokens: Floats
    loss: Floats
    kl: Floats
    agreed: Floats


class DocumentEvaluator:
    """Measures candidates of one fine-tune on rows [documents, 2, context] of tokens and marks."""

    def __init__(self, *, base: Path, tuned: Path, rows: torch.Tensor) -> None:
        self._rows = rows
        self._tuned_folder = tuned
        self._slot = Slot(causal.load(tuned), tuned=tuned, base=base)
        model = self._slot.fill(tuned)
        self._head = _head(model).clone()
        self._hidden = [_hidden(model, part) for part in rows.split(ROWS)]
        self._tuned = self._sums(tuned)
        self._base = self._sums(base)
        self.base = self._figures(self._base)
        self.tuned = self._figures(self._tuned)

    def measure(self, candidate: Candidate) -> DocumentsMeasured:
        """One pass over the documents in float32; none for the tuned model's own weights."""
        if _are_equal(tensors(candidate), tensors(self._tuned_folder)):
            return self.tuned
        return self._figures(self._sums(candidate))

    def _figures(self, found: Sums) -> DocumentsMeasured:
        kept = share(self._base, self._tuned, found)
        kl = ratio(found.kl, found.tokens)
        tokens = found.tokens.sum()
        return DocumentsMeasured(
            loss=float(found.loss.sum() / tokens),
            gain_kept=kept.value,
            gain_low=kept.low,
            gain_high=kept.high,
            kl=kl.value,
            kl_low=kl.low,
            kl_high=kl.high,
            agreement=float(found.agreed.sum() / tokens),
        )

    def loaded(self, candidate: Candidate) -> Any:
        """The model with the candidate's weights, until the next candidate is measured."""
        return self._slot.fill(candidate)

    @torch.inference_mode()
    def _sums(self, candidate: Candidate) -> Sums:
        model = self._slot.fill(candidate)
        head = _head(model)
        lines = [
            self._document(row, own, theirs, head)
            for part, kept in zip(self._rows.split(ROWS), self._hidden, strict=True)
            for row, own, theirs in zip(part, _hidden(model, part), kept, strict=True)
        ]
        return Sums(*np.array(lines, dtype=np.float64).T)

    def _document(
        self, row: torch.Tensor, own: torch.Tensor, theirs: torch.Tensor, head: torch.Tensor
    ) -> tuple[float, float, float, float]:
        """Tokens that count, their loss, KL, and agreement, of one document [2, context]."""
        counts = row[1, 1:].bool()
        right = row[0, 1:][counts]  # [tokens]
        mine = (own[:-1][counts] @ head.T).log_softmax(dim=-1)  # [tokens, vocabulary]
        wanted = (theirs[:-1][counts] @ self._head.T).log_softmax(dim=-1)
        loss = -mine.gather(-1, right[:, None]).sum(dtype=torch.float64)
        kl = (wanted.exp() * (wanted - mine)).sum(dtype=torch.float64)
        agreed = (wanted.argmax(dim=-1) == mine.argmax(dim=-1)).sum()
        return float(len(right)), float(loss), float(kl), float(agreed)


def ratio(parts: Floats, tokens: Floats) -> Interval:
    """The sum of `parts` over the sum of `tokens`, both [documents]."""
    draws = _draws(len(parts))
    return _interval(float(parts.sum() / tokens.sum()), parts[draws].sum(1) / tokens[draws].sum(1))


def share(base: Sums, tuned: Sums, candidate: Sums) -> Interval:
    """The share of the decrease of the loss from base to tuned that a candidate keeps.

    All models are resampled with the same documents, so what they share cancels.
    """
    gain, kept = base.loss - tuned.loss, base.loss - candidate.loss
    return ratio(kept, gain)


def _draws(documents: int) -> npt.NDArray[np.int64]:
    """Documents drawn with replacement, [resamples, documents]; the same in every call."""
    return np.random.default_rng(0).integers(documents, size=(RESAMPLES, documents))


def _interval(value: float, samples: Floats) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(samples, (tail, 1 - tail))
    return Interval(value, float(low), float(high))


def _are_equal(some: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> bool:
    """Whether both have the same tensors, bit by bit except for the sign of zero."""
    return some.keys() == others.keys() and all(
        one.dtype == others[name].dtype and torch.equal(one, others[name])
        for name, one in some.items()
    )


def _head(model: Any) -> torch.Tensor:
    """The head's weight, [vocabulary, width]."""
    weight: torch.Tensor = model.get_output_embeddings().weight.detach()
    return weight


@torch.inference_mode()
def _hidden(model: Any, part: torch.Tensor) -> torch.Tensor:
    """The states that the head reads, [documents, context, width]."""
    states: torch.Tensor = model.base_model(input_ids=part[:, 0]).last_hidden_state
    return states


def first_documents(rows: torch.Tensor, *, documents: int, tokens: int) -> torch.Tensor:
    """Documents at equal distances, and the first tokens of each: [documents, 2, tokens].

    Documents that have no token that counts among these are left out.
    """
    short = rows[:, :, :tokens]
    some = short[short[:, 1, 1:].any(dim=-1)]
    places = torch.linspace(0, len(some) - 1, min(documents, len(some))).long()
    return some[places]
