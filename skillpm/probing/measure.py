"""The table of measures: how each metric of `spec.probes` is scored on a running model.

A measure scores the items that are `asked`, with all items as context (other documents, labels), so
that several models may each answer some of them, as a router decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import cast

import torch

from skillpm.errors import GraftError
from skillpm.probing.tokens import Row, ending, foresee, vectors, whole
from skillpm.running.folder import is_foreign, reason_of
from skillpm.running.runner import Runner
from skillpm.spec.fields import Document
from skillpm.spec.probe_items import (
    ExactMatchItem,
    LabelItem,
    MultipleChoiceItem,
    RetrievalItem,
    TokenLossItem,
)
from skillpm.spec.probes import METRICS


@dataclass(frozen=True)
class Score:
    """One item's part of a mean: total over weight."""

    total: float
    weight: float = 1.0


Measure = Callable[[Runner, Sequence[Document], Sequence[int]], list[Score]]


def mean(scores: Sequence[Score]) -> float:
    """The metric's value. Raises `GraftError` where nothing could be scored."""
    weight = sum(score.weight for score in scores)
    if not weight:
        raise GraftError(
            "the probes hold nothing that can be scored",
            hint="a text of token_loss needs two tokens at least",
        )
    return sum(score.total for score in scores) / weight


def measure(
    runner: Runner, metric: str, items: Sequence[Document], asked: Sequence[int] | None = None
) -> list[Score]:
    """Score the items that are asked, all by default. Raises `GraftError` for a wrong model."""
    places = range(len(items)) if asked is None else asked
    try:
        return MEASURES[metric](runner, items, places) if places else []
    except BaseException as problem:
        if not is_foreign(problem):
            raise
        raise GraftError(
            f"the model cannot answer the items of {metric}: {reason_of(problem)}",
            hint="do its tokenizer and its config belong to its weights?",
        ) from problem


def figure(value: float) -> float:
    """A value with six digits: what differs beyond them is the machine's rounding."""
    return float(f"{value:.6g}")


def _needs(runner: Runner, metric: str, *, causal: bool) -> None:
    if runner.causal != causal:
        kinds = ("a causal LM", "an encoder")
        raise GraftError(
            f"the metric {metric} needs {kinds[not causal]}, and the base is {kinds[causal]}",
            hint=f"the metrics are {', '.join(sorted(METRICS))}",
        )


def token_loss(runner: Runner, items: Sequence[Document], asked: Sequence[int]) -> list[Score]:
    """Mean negative log-likelihood in nats a token, over all tokens of all texts."""
    _needs(runner, "token_loss", causal=True)
    texts = cast("Sequence[TokenLossItem]", items)
    found = foresee(runner, [whole(runner, texts[place].text) for place in asked])
    return [Score(-one.nats, one.tokens) for one in found]


def exact_match(runner: Runner, items: Sequence[Document], asked: Sequence[int]) -> list[Score]:
    """The share of items whose answer is what the model would say greedily, token by token."""
    _needs(runner, "exact_match", causal=True)
    asks = cast("Sequence[ExactMatchItem]", items)
    rows = [ending(runner, asks[place].prompt, asks[place].answer) for place in asked]
    return [Score(float(one.exact)) for one in foresee(runner, rows)]


def multiple_choice(runner: Runner, items: Sequence[Document], asked: Sequence[int]) -> list[Score]:
    """The share of items whose right answer is the likeliest by byte; an encoder takes the nearest.

    By byte, as `acc_norm` of lm-evaluation-harness, so that long answers are not at a loss.
    """
    asks = [cast("MultipleChoiceItem", items[place]) for place in asked]
    picked = _picked(runner, [(one.question, one.choices) for one in asks])
    return [Score(float(at == one.right)) for at, one in zip(picked, asks, strict=True)]


def accuracy(runner: Runner, items: Sequence[Document], asked: Sequence[int]) -> list[Score]:
    """The share of texts with the right label.

    A causal LM takes the label that is the likeliest by byte after the text; for an encoder it is
    the label with the nearest centroid, the text itself left out of its own.
    """
    texts = cast("Sequence[LabelItem]", items)
    labels = sorted({one.label for one in texts})
    if runner.causal:
        picked = _picked(runner, [(texts[place].text, labels) for place in asked])
    else:
        picked = _nearest(vectors(runner, [one.text for one in texts]), texts, labels, asked)
    return [
        Score(float(at >= 0 and labels[at] == texts[place].label))
        for at, place in zip(picked, asked, strict=True)
    ]


def mrr(runner: Runner, items: Sequence[Document], asked: Sequence[int]) -> list[Score]:
    """Mean reciprocal rank of each query's document by cosine; a tie counts against it."""
    _needs(runner, "mrr", causal=False)
    pairs = cast("Sequence[RetrievalItem]", items)
    candidates = list(dict.fromkeys(one.document for one in pairs))
    queries = vectors(runner, [pairs[place].query for place in asked])
    near = queries @ vectors(runner, candidates).T  # [asked, candidates]
    scores = []
    for row, place in zip(near, asked, strict=True):
        own = row[candidates.index(pairs[place].document)]
        rank = len(candidates) - int((row < own).sum())
        scores.append(Score(1 / rank))
    return scores


MEASURES: Mapping[str, Measure] = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "mrr": mrr,
    "multiple_choice": multiple_choice,
    "token_loss": token_loss,
}


def _picked(runner: Runner, asks: Sequence[tuple[str, Sequence[str]]]) -> list[int]:
    """The place of the answer that each question gets; -1 where the model gives no number."""
    if not runner.causal:
        return [_closest(runner, question, choices) for question, choices in asks]
    rows: list[Row] = []
    for question, choices in asks:
        rows += [ending(runner, *_joined(question, choice)) for choice in choices]
    found = iter(foresee(runner, rows))
    picked = []
    for _, choices in asks:
        picked.append(_most([next(found).nats / len(choice.encode()) for choice in choices]))
    return picked


def _closest(runner: Runner, question: str, choices: Sequence[str]) -> int:
    found = vectors(runner, [question, *choices])
    return _most([float(one) for one in found[1:] @ found[0]])


def _joined(question: str, answer: str) -> tuple[str, str]:
    """An answer begins after a space, unless question or answer brings white space there."""
    bare = not (question[-1:].isspace() or answer[:1].isspace())
    return question, f" {answer}" if bare else answer


def _most(values: Sequence[float]) -> int:
    """The place of the first largest value; -1 where one is no number."""
    return max(range(len(values)), key=values.__getitem__) if all(map(isfinite, values)) else -1


def _nearest(
    found: torch.Tensor, texts: Sequence[LabelItem], labels: Sequence[str], asked: Sequence[int]
) -> list[int]:
    member = torch.tensor([[one.label == label for label in labels] for one in texts]).float()
    sums, counts = member.T @ found, member.sum(0)  # [labels, width], [labels]
    picked = []
    for place in asked:
        own = member[place]
        left = (sums - own[:, None] * found[place]) / (counts - own).clamp(min=1)[:, None]
        near = torch.nn.functional.normalize(left, dim=-1) @ found[place]
        picked.append(_most([float(one) for one in near]))
    return picked
