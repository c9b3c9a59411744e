"""Measure a candidate on the encoder's task, and the distance of its embeddings from the tuned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.finetunes.measure import Slot, share
from examples.code_search.encoder import Encoder, embed, load

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.finetunes.measure import Candidate
    from benchmarks.finetunes.tasks import Examination


@dataclass(frozen=True, slots=True)
class EncoderMeasured:
    """`score` is the task's own metric, `score_kept` its share of the gain, which is discrete.

    `loss` is the mean −log of the probability that softmax(cos / temperature) gives the right
    label, in nats; `gain_kept` refers to it. `distance_closed` is
    1 − Σ‖e − e_tuned‖² / Σ‖e_base − e_tuned‖² over the embeddings of held-out texts.
    """

    score: float
    score_kept: float
    loss: float
    gain_kept: float
    gain_error: float
    distance_closed: float

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Sat:
    """A model's answers: score and nats of each query, [queries]; vectors, [texts, width]."""

    scores: torch.Tensor
    losses: torch.Tensor
    vectors: torch.Tensor


class EncoderEvaluator:
    """Keeps the base's and the tuned model's embeddings of the examination's texts."""

    def __init__(self, *, base: Path, tuned: Path, examination: Examination) -> None:
        self._asked = examination
        encoder = load(tuned)
        self._tokenizer = encoder.tokenizer
        self._slot = Slot(encoder.model, tuned=tuned, base=base)
        self._base, self._tuned = self._sit(base), self._sit(tuned)
        self.base, self.tuned = self._compared(self._base), self._compared(self._tuned)

    def measure(self, candidate: Candidate) -> EncoderMeasured:
        """One pass over the examination's texts in float32."""
        return self._compared(self._sit(candidate))

    def _sit(self, candidate: Candidate) -> _Sat:
        encoder = Encoder(model=self._slot.fill(candidate), tokenizer=self._tokenizer)
        asked = self._asked
        with torch.inference_mode():
            queries = embed(encoder, asked.queries, tokens=asked.query_tokens)
            supports = embed(encoder, asked.supports, tokens=asked.support_tokens)
        cosines = queries @ _centroids(supports, torch.tensor(asked.support_labels)).T
        labels = torch.tensor(asked.query_labels)
        losses = torch.nn.functional.cross_entropy(
            cosines / asked.temperature, labels, reduction="none"
        )
        vectors = torch.cat([queries, supports]) if asked.held_out else queries
        return _Sat(_scores(cosines, labels, kind=asked.score), losses, vectors)

    def _compared(self, sat: _Sat) -> EncoderMeasured:
        base, tuned = self._base, self._tuned
        loss = share(base.losses, tuned.losses, sat.losses)
        whole = (base.vectors - tuned.vectors).double().square().sum()
        left = (sat.vectors - tuned.vectors).double().square().sum()
        return EncoderMeasured(
            score=float(sat.scores.mean()),
            score_kept=share(base.scores, tuned.scores, sat.scores).value,
            loss=float(sat.losses.mean()),
            gain_kept=loss.value,
            gain_error=loss.error,
            distance_closed=float(1.0 - left / whole),
        )


def _centroids(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean direction of each label's supports, [labels, width]."""
    sums = torch.zeros(int(labels.max()) + 1, vectors.shape[1]).index_add(0, labels, vectors)
    return torch.nn.functional.normalize(sums, dim=-1)


def _scores(cosines: torch.Tensor, labels: torch.Tensor, *, kind: str) -> torch.Tensor:
    """Reciprocal rank of the right label, or whether it is first; a tie counts as wrong."""
    own = cosines.gather(1, labels[:, None])  # [queries, 1]
    ranks = (cosines >= own).sum(dim=1).double()  # [queries]
    return 1.0 / ranks if kind == "mean reciprocal rank" else (ranks == 1).double()
