"""The table of measures: how each metric of `spec.probes` is scored on a running model.

A measure scores the items at `indices`, with all items as context (other documents, labels). So
several models can each answer some of the items, as a router decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import cast

import torch

from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check
from skillpm.errors import GraftError
from skillpm.probing.likelihoods import Row, answer_row, predict, text_vectors, whole_text_row
from skillpm.running.folder import is_foreign, reason_of
from skillpm.running.generation import ChatQuestion, greedy_answers
from skillpm.running.runner import Runner
from skillpm.spec.fields import Document
from skillpm.spec.probe_items import (
    ExactMatchItem,
    JudgedItem,
    LabelItem,
    MultipleChoiceItem,
    RetrievalItem,
    TokenLossItem,
)
from skillpm.spec.probes import METRICS

ANSWER_SECONDS = 1800.0
"""Seconds for the generated answers of one measurement. `spec.probes` bounds their tokens."""
CHECK_SECONDS = 600.0
"""Seconds for judging these answers: a stranger's gold queries may be slow."""


@dataclass(frozen=True)
class Score:
    """One item's part of a mean: total over weight."""

    total: float
    weight: float = 1.0


Measure = Callable[[Runner, Sequence[Document], Sequence[int]], list[Score]]
"""Scores the items at some indices: (runner, items, indices)."""


def mean(scores: Sequence[Score]) -> float:
    """Return the metric's value. Raises `GraftError` if no item could be scored."""
    weight = sum(score.weight for score in scores)
    if not weight:
        raise GraftError(
            "the probes have no item that can be scored",
            hint="a text of token_loss needs at least two tokens",
        )
    return sum(score.total for score in scores) / weight


def measure(
    runner: Runner, metric: str, items: Sequence[Document], indices: Sequence[int] | None = None
) -> list[Score]:
    """Score the items at `indices`, by default all items.

    Raises `GraftError` if the metric does not fit the model, or if the model cannot answer.
    """
    selected = range(len(items)) if indices is None else indices
    try:
        return MEASURES[metric](runner, items, selected) if selected else []
    except BaseException as problem:
        if not is_foreign(problem):
            raise
        raise GraftError(
            f"the model cannot answer the items of {metric}: {reason_of(problem)}",
            hint="do its tokenizer and its config belong to its weights?",
        ) from problem


def round_to_six_digits(value: float) -> float:
    """Round a value to six digits; further digits differ between machines."""
    return float(f"{value:.6g}")


def _check_kind(runner: Runner, metric: str, *, causal: bool) -> None:
    if runner.causal != causal:
        kinds = ("a causal LM", "an encoder")
        raise GraftError(
            f"the metric {metric} needs {kinds[not causal]}, but the base is {kinds[causal]}",
            hint=f"available metrics: {', '.join(sorted(METRICS))}",
        )


def token_loss(runner: Runner, items: Sequence[Document], indices: Sequence[int]) -> list[Score]:
    """Mean negative log-likelihood in nats per token, over all tokens of all texts."""
    _check_kind(runner, "token_loss", causal=True)
    texts = cast("Sequence[TokenLossItem]", items)
    predictions = predict(runner, [whole_text_row(runner, texts[index].text) for index in indices])
    return [Score(-prediction.nats, prediction.tokens) for prediction in predictions]


def exact_match(runner: Runner, items: Sequence[Document], indices: Sequence[int]) -> list[Score]:
    """The share of items whose answer is the model's greedy continuation, token by token."""
    _check_kind(runner, "exact_match", causal=True)
    questions = cast("Sequence[ExactMatchItem]", items)
    rows = [
        answer_row(runner, questions[index].prompt, questions[index].answer) for index in indices
    ]
    return [Score(float(prediction.exact)) for prediction in predict(runner, rows)]


def judged(runner: Runner, items: Sequence[Document], indices: Sequence[int]) -> list[Score]:
    """The share of items whose greedily generated answer passes the check.

    The model answers under its chat template. Queries and schemas are judged in the sandbox.
    """
    _check_kind(runner, "judged", causal=True)
    questions = [cast("JudgedItem", items[index]) for index in indices]
    answers = greedy_answers(
        runner,
        [ChatQuestion(item.chat, item.max_tokens) for item in questions],
        seconds=ANSWER_SECONDS,
    )
    checks = [parse_check(item.check) for item in questions]
    with Judge(seconds=CHECK_SECONDS) as judge:
        verdicts = judge.verdicts(list(zip(checks, answers, strict=True)))
    return [Score(float(verdict.passed)) for verdict in verdicts]


def multiple_choice(
    runner: Runner, items: Sequence[Document], indices: Sequence[int]
) -> list[Score]:
    """The share of items whose right answer is the most likely per byte.

    An encoder takes the nearest answer instead. Per byte, as `acc_norm` of lm-evaluation-harness,
    so that long answers are not penalised.
    """
    questions = [cast("MultipleChoiceItem", items[index]) for index in indices]
    answers = _picked_answers(runner, [(item.question, item.choices) for item in questions])
    return [
        Score(float(answer == item.right)) for answer, item in zip(answers, questions, strict=True)
    ]


def accuracy(runner: Runner, items: Sequence[Document], indices: Sequence[int]) -> list[Score]:
    """The share of texts with the right label.

    A causal LM takes the label that is most likely per byte after the text. An encoder takes the
    label with the nearest centroid; a text is left out of the centroid of its own label.
    """
    texts = cast("Sequence[LabelItem]", items)
    labels = sorted({item.label for item in texts})
    if runner.causal:
        answers = _picked_answers(runner, [(texts[index].text, labels) for index in indices])
    else:
        answers = _nearest_labels(
            text_vectors(runner, [item.text for item in texts]), texts, labels, indices
        )
    return [
        Score(float(answer >= 0 and labels[answer] == texts[index].label))
        for answer, index in zip(answers, indices, strict=True)
    ]


def mrr(runner: Runner, items: Sequence[Document], indices: Sequence[int]) -> list[Score]:
    """Mean reciprocal rank of each query's document by cosine; a tie lowers the rank."""
    _check_kind(runner, "mrr", causal=False)
    pairs = cast("Sequence[RetrievalItem]", items)
    candidates = list(dict.fromkeys(pair.document for pair in pairs))
    queries = text_vectors(runner, [pairs[index].query for index in indices])
    cosines = queries @ text_vectors(runner, candidates).T  # [queries, candidates]
    scores = []
    for row, index in zip(cosines, indices, strict=True):
        cosine = row[candidates.index(pairs[index].document)]
        rank = len(candidates) - int((row < cosine).sum())
        scores.append(Score(1 / rank))
    return scores


MEASURES: Mapping[str, Measure] = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "judged": judged,
    "mrr": mrr,
    "multiple_choice": multiple_choice,
    "token_loss": token_loss,
}


def _picked_answers(runner: Runner, questions: Sequence[tuple[str, Sequence[str]]]) -> list[int]:
    """Return the index of the answer to each question; -1 if the model gives NaN or Inf."""
    if not runner.causal:
        return [_nearest_choice(runner, question, choices) for question, choices in questions]
    rows: list[Row] = []
    for question, choices in questions:
        rows += [answer_row(runner, *_with_space(question, choice)) for choice in choices]
    predictions = iter(predict(runner, rows))
    answers = []
    for _, choices in questions:
        answers.append(
            _argmax([next(predictions).nats / len(choice.encode()) for choice in choices])
        )
    return answers


def _nearest_choice(runner: Runner, question: str, choices: Sequence[str]) -> int:
    unit_vectors = text_vectors(runner, [question, *choices])
    return _argmax([float(similarity) for similarity in unit_vectors[1:] @ unit_vectors[0]])


def _with_space(question: str, answer: str) -> tuple[str, str]:
    """Put a space before an answer, unless question or answer has white space there."""
    needs_space = not (question[-1:].isspace() or answer[:1].isspace())
    return question, f" {answer}" if needs_space else answer


def _argmax(values: Sequence[float]) -> int:
    """Return the index of the first largest value; -1 if one is NaN or Inf."""
    return max(range(len(values)), key=values.__getitem__) if all(map(isfinite, values)) else -1


def _nearest_labels(
    unit_vectors: torch.Tensor,
    texts: Sequence[LabelItem],
    labels: Sequence[str],
    indices: Sequence[int],
) -> list[int]:
    """Return the index of the nearest label of each text at `indices`."""
    member = torch.tensor([[item.label == label for label in labels] for item in texts]).float()
    sums, counts = member.T @ unit_vectors, member.sum(0)  # [labels, width], [labels]
    answers = []
    for index in indices:
        labels_of_text = member[index]
        centroids = (sums - labels_of_text[:, None] * unit_vectors[index]) / (
            counts - labels_of_text
        ).clamp(min=1)[:, None]
        similarities = torch.nn.functional.normalize(centroids, dim=-1) @ unit_vectors[index]
        answers.append(_argmax([float(item) for item in similarities]))
    return answers
