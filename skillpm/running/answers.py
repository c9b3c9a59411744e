"""Comparing the answers of a running model with those that another model gave to the same batches.

A distribution of a causal LM takes 4 bytes for each token of the vocabulary. Where the logits are
those of the output embedding, the input of that layer is kept instead, and its weight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import Linear

from skillpm.errors import GraftError
from skillpm.running.runner import Batch, Runner
from skillpm.spec.effect import PackEffect, Scores

_CHUNK = 64
"""Tokens whose distributions are compared at once."""
_CHECKED = 8
"""Tokens whose logits are compared with those of the output embedding."""
LEAST_GAIN = 1e-3
"""A smaller gain in loss, in nats per token, is not measured reliably."""
_Z = 1.96
"""Standard errors in half a 95 % interval."""
Sums = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SequenceSums:
    """Sums over each sequence [sequences]: divergence, answers, loss and predicted tokens.

    The loss is that of each next token, in nats. It is 0 for an encoder, and without next tokens.
    """

    divergence: Sums
    answers: Sums
    loss: Sums
    tokens: Sums

    @property
    def mean_divergence(self) -> float:
        """The mean divergence of an answer."""
        return float(self.divergence.sum() / max(1.0, self.answers.sum()))

    @property
    def mean_loss(self) -> float | None:
        """The mean loss of a token; None if none is predicted."""
        return float(self.loss.sum() / self.tokens.sum()) if self.tokens.any() else None


def effect_of(
    base: SequenceSums,
    tuned: SequenceSums,
    pack: SequenceSums,
    scores: Mapping[str, Scores] | None = None,
) -> PackEffect:
    """The effect of a pack, from sums over the same sequences.

    `scores` are the values of metrics, if any were measured.
    """
    before, after = base.mean_loss, tuned.mean_loss
    kept = error = None
    if before is not None and after is not None and before - after > LEAST_GAIN:
        kept, error = share_kept(base.loss, tuned.loss, pack.loss)
    return PackEffect(
        divergence=pack.mean_divergence,
        base_divergence=base.mean_divergence,
        loss=pack.mean_loss,
        base_loss=before,
        tuned_loss=after,
        gain_kept=kept,
        gain_error=error,
        scores=scores or {},
    )


def share_kept(base: Sums, tuned: Sums, candidate: Sums) -> tuple[float, float | None]:
    """The share of the sum of base - tuned that a candidate keeps, and half its 95 % interval.

    All are sums of losses over the same sequences. The error is that of a ratio of means, to first
    order; None for a single sequence.
    """
    gains, kept = base - tuned, base - candidate
    share = float(kept.sum() / gains.sum())
    if len(gains) == 1:
        return share, None
    spread = float(np.square(kept - share * gains).sum()) * len(gains) / (len(gains) - 1)
    return share, _Z * sqrt(spread) / abs(float(gains.sum()))


@dataclass(frozen=True)
class _Head:
    """An output embedding; `weight` is in bfloat16 if that is exact."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def of(cls, layer: Linear) -> Self:
        short = layer.weight.detach().to(torch.bfloat16)
        exact = torch.equal(short.to(layer.weight.dtype), layer.weight)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        return cls(short if exact else layer.weight.detach().clone(), bias)

    def placed(self, dtype: torch.dtype) -> "_Head":
        """The same in a dtype."""
        return _Head(self.weight.to(dtype), self.bias)

    def log_probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """The log-probabilities [tokens, vocabulary] for states [tokens, width]."""
        return torch.nn.functional.linear(states, self.weight, self.bias).float().log_softmax(-1)


@dataclass(frozen=True)
class _Kept:
    """What is kept of the answer to one sequence: `states`, which the head reads, or the answer."""

    states: torch.Tensor | None
    answer: torch.Tensor | None


@dataclass(frozen=True)
class ReferenceAnswers:
    """The answers of one model to the sequences of some batches, and its own loss on them."""

    rows: list[Batch]
    own: SequenceSums
    _kept: list[_Kept]
    _head: _Head | None

    @classmethod
    @torch.no_grad()
    def of(cls, runner: Runner, batches: list[Batch]) -> Self:
        """Run a model."""
        rows = [row for batch in batches for row in batch.rows()]
        layer = _output_layer(runner)
        head, kept, sums = None, list[_Kept](), list[tuple[float, ...]]()
        for row in rows:
            states, answer = _run(runner, row, layer)
            if not kept and layer is not None and states is not None:
                head = _checked_head(layer, states, answer)
            if head is not None and states is not None:
                kept.append(_Kept(states.cpu(), None))
            else:
                kind = torch.float16 if runner.causal else torch.float32
                kept.append(_Kept(None, answer.to(kind).cpu()))
            sums.append((0.0, float(runner.count(row)), *_loss(runner, row, answer)))
        return cls(rows, _sums(sums), kept, head)

    @torch.no_grad()
    def compare(self, runner: Runner) -> SequenceSums:
        """Run another model, and sum its divergence from these answers, and its loss."""
        head = self._head and self._head.placed(runner.dtype)
        sums = list[tuple[float, ...]]()
        for row, kept in zip(self.rows, self._kept, strict=True):
            answer = runner.answer(row)
            divergence = _divergence(answer, kept, head, causal=runner.causal)
            sums.append((divergence, float(runner.count(row)), *_loss(runner, row, answer)))
        return _sums(sums)


def _sums(lines: list[tuple[float, ...]]) -> SequenceSums:
    """The columns of the lines. Raises `GraftError` for a value that is not finite."""
    table = np.array(lines, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(table).all():
        raise GraftError(
            "a model gives a token of the texts the probability 0 or NaN, so its loss or its "
            "divergence is not finite",
            hint="pack without `--calibration` and `--probes`, or without infinite logits",
        )
    return SequenceSums(*table.T)


def _output_layer(runner: Runner) -> Linear | None:
    """The output embedding of a causal LM, if it is a linear layer."""
    layer = runner.model.get_output_embeddings() if runner.causal else None
    return layer if type(layer) is Linear else None


def _run(
    runner: Runner, row: Batch, layer: Linear | None
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """The input of `layer` [tokens, width], and the answer."""
    states: list[torch.Tensor] = []
    if layer is None:
        return None, runner.answer(row)

    def record(_layer: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        states.append(arguments[0].flatten(0, -2))

    handle = layer.register_forward_pre_hook(record)
    try:
        answer = runner.answer(row)
    finally:
        handle.remove()
    complete = len(states) == 1 and len(states[0]) == len(answer)
    return states[0] if complete else None, answer


def _checked_head(layer: Linear, states: torch.Tensor, answer: torch.Tensor) -> _Head | None:
    """The head, if the answer is its output; some models scale or cap the logits."""
    head = _Head.of(layer)
    few = states[:_CHECKED]
    again = head.placed(few.dtype).log_probabilities(few)
    return head if torch.allclose(again, answer[:_CHECKED], rtol=1e-3, atol=1e-2) else None


def _divergence(answer: torch.Tensor, kept: _Kept, head: _Head | None, *, causal: bool) -> float:
    """The divergence of an answer from a kept one, summed over the sequence."""
    if not causal:
        assert kept.answer is not None  # noqa: S101 - for the type checker
        return float((kept.answer.to(answer) - answer).square().sum())
    total = 0.0
    for first in range(0, len(answer), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        if head is not None and kept.states is not None:
            reference = head.log_probabilities(kept.states[chunk].to(answer.device))
        else:
            assert kept.answer is not None  # noqa: S101 - for the type checker
            reference = kept.answer[chunk].to(answer)
        terms = reference.exp() * (reference - answer[chunk])
        terms = terms.masked_fill(reference == -torch.inf, 0)  # 0 log 0 = 0
        total += float(terms.sum(dtype=torch.float64))
    return total


def _loss(runner: Runner, row: Batch, answer: torch.Tensor) -> tuple[float, int]:
    """The summed loss of next tokens, in nats, and their number."""
    if not runner.causal:
        return 0.0, 0
    labels, seen = row.ids[0, 1:], row.mask[0, 1:].bool()
    chosen = answer[:-1].gather(1, labels.unsqueeze(1)).squeeze(1)
    return -float(chosen[seen].double().sum()), int(seen.sum())
