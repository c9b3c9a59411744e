"""A running model's likelihoods of the ends of texts, and its vectors of texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, cast

import torch

from skillpm.running.runner import Runner
from skillpm.spec.probes import LONGEST

_BATCH_TOKENS = 2048
"""Tokens in a batch, with padding."""
_MIN_TOKENS = 2
"""The least tokens of a row, so that there is a next token; a causal LM ignores the padding."""


@dataclass(frozen=True)
class Row:
    """Token ids; those from `start` on are to be predicted."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Prediction:
    """The log-likelihood of a row's end, in nats, and its number of tokens.

    `exact` is true if each of them was the most likely token.
    """

    nats: float
    tokens: int
    exact: bool


def max_tokens(runner: Runner) -> int:
    """Return the most tokens of a text that this model is given."""
    config = runner.model.config
    limits = (
        getattr(config, "max_position_embeddings", None),
        getattr(runner.tokenizer, "model_max_length", None),
    )
    return min([LONGEST, *(int(limit) for limit in limits if limit)])


def token_ids(runner: Runner, text: str) -> list[int]:
    """Return a text's token ids, with the tokenizer's start tokens, without its end tokens."""
    ids = cast("list[int]", runner.tokenizer(text, truncation=False)["input_ids"])
    tokenizer: Any = runner.tokenizer
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
    while len(ids) > 1 and ids[-1] in ends:
        ids = ids[:-1]
    return ids


def whole_text_row(runner: Runner, text: str) -> Row:
    """Return a row in which all tokens but the first are to be predicted."""
    return Row(tuple(token_ids(runner, text)[: max_tokens(runner)]), 1)


def answer_row(runner: Runner, prompt: str, answer: str) -> Row:
    """Return a row in which the answer is to be predicted; a long prompt loses its start."""
    all_ids, prompt_ids = token_ids(runner, prompt + answer), token_ids(runner, prompt)
    pairs = zip(all_ids, prompt_ids, strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    dropped = max(0, len(all_ids) - max_tokens(runner))
    return Row(tuple(all_ids[dropped:]), max(1, shared - dropped))


def predict(runner: Runner, rows: Sequence[Row]) -> list[Prediction]:
    """Return a causal LM's prediction of each row's end, in the order of the rows."""
    predictions: dict[int, Prediction] = {}
    for indices in _batches([len(row.ids) for row in rows]):
        batch = runner.padded([rows[index].ids for index in indices], least=_MIN_TOKENS)
        with torch.no_grad():
            answer = runner.answer(batch).view(*batch.ids.shape, -1)  # [rows, tokens, words]
        log_likelihoods = answer[:, :-1].gather(2, batch.ids[:, 1:, None]).squeeze(2).double().cpu()
        best = (answer[:, :-1].argmax(-1) == batch.ids[:, 1:]).cpu()
        for line, index in enumerate(indices):
            ends = slice(rows[index].start - 1, len(rows[index].ids) - 1)
            nats, correct = log_likelihoods[line, ends], best[line, ends]
            tokens = int(nats.numel())
            predictions[index] = Prediction(
                float(nats.sum()), tokens, tokens > 0 and bool(correct.all())
            )
    return [predictions[index] for index in range(len(rows))]


def text_vectors(runner: Runner, texts: Sequence[str]) -> torch.Tensor:
    """Return the unit vector of each text, [texts, width]; NaN if the model returns NaN."""
    limit = max_tokens(runner)
    encodings = [runner.tokenizer(text, truncation=True, max_length=limit) for text in texts]
    rows = [tuple(cast("list[int]", encoding["input_ids"])) for encoding in encodings]
    by_index: dict[int, torch.Tensor] = {}
    for indices in _batches([len(row) for row in rows]):
        with torch.no_grad():
            batch = runner.padded([rows[index] for index in indices], least=_MIN_TOKENS)
            answer = runner.answer(batch)
        by_index.update(zip(indices, answer.float().cpu(), strict=True))
    return torch.stack([by_index[index] for index in range(len(texts))])


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of rows, sorted by length, in batches of at most `_BATCH_TOKENS` tokens."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if batch and (len(batch) + 1) * lengths[index] > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
