"""What a running model says of texts: the likelihood of their ends, or their vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, cast

import torch

from skillpm.running.runner import Runner
from skillpm.spec.probes import LONGEST

_AT_ONCE = 2048
"""The tokens of a batch, padding included."""
_NARROWEST = 2
"""Tokens of a row at least, so that there is a next one; a causal LM never looks at the padding."""


@dataclass(frozen=True)
class Row:
    """Token ids, of which those from `start` on are to be foreseen."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Foreseen:
    """How likely a row's end was: its log-likelihood in nats, of how many tokens.

    `exact` where each of them was the likeliest.
    """

    nats: float
    tokens: int
    exact: bool


def limit_of(runner: Runner) -> int:
    """The most tokens of a text that this model is shown."""
    config = runner.model.config
    known = (
        getattr(config, "max_position_embeddings", None),
        getattr(runner.tokenizer, "model_max_length", None),
    )
    return min([LONGEST, *(int(one) for one in known if one)])


def ids_of(runner: Runner, text: str) -> list[int]:
    """A text's token ids with the tokenizer's own beginning, without its end."""
    ids = cast("list[int]", runner.tokenizer(text, truncation=False)["input_ids"])
    tokenizer: Any = runner.tokenizer
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
    while len(ids) > 1 and ids[-1] in ends:
        ids = ids[:-1]
    return ids


def whole(runner: Runner, text: str) -> Row:
    """All of a text but its first token is to be foreseen."""
    return Row(tuple(ids_of(runner, text)[: limit_of(runner)]), 1)


def ending(runner: Runner, prompt: str, answer: str) -> Row:
    """The answer is to be foreseen after the prompt, whose beginning goes where it is too long."""
    full, before = ids_of(runner, prompt + answer), ids_of(runner, prompt)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(full, before)))  # noqa: B905 - the shorter ends it
    cut = max(0, len(full) - limit_of(runner))
    return Row(tuple(full[cut:]), max(1, shared - cut))


def foresee(runner: Runner, rows: Sequence[Row]) -> list[Foreseen]:
    """What a causal LM gives each row's end, in the order of the rows."""
    found: dict[int, Foreseen] = {}
    for places in _batches([len(row.ids) for row in rows]):
        batch = runner.padded([rows[place].ids for place in places], least=_NARROWEST)
        with torch.no_grad():
            answer = runner.answer(batch).view(*batch.ids.shape, -1)  # [rows, tokens, words]
        said = answer[:, :-1].gather(2, batch.ids[:, 1:, None]).squeeze(2).double().cpu()
        best = (answer[:, :-1].argmax(-1) == batch.ids[:, 1:]).cpu()
        for at, place in enumerate(places):
            ends = slice(rows[place].start - 1, len(rows[place].ids) - 1)
            nats, right = said[at, ends], best[at, ends]
            tokens = int(nats.numel())
            found[place] = Foreseen(float(nats.sum()), tokens, tokens > 0 and bool(right.all()))
    return [found[place] for place in range(len(rows))]


def vectors(runner: Runner, texts: Sequence[str]) -> torch.Tensor:
    """The unit vector of each text, [texts, width]. NaN where the model says so."""
    limit = limit_of(runner)
    cut = [runner.tokenizer(text, truncation=True, max_length=limit) for text in texts]
    rows = [tuple(cast("list[int]", one["input_ids"])) for one in cut]
    found: dict[int, torch.Tensor] = {}
    for places in _batches([len(row) for row in rows]):
        with torch.no_grad():
            batch = runner.padded([rows[place] for place in places], least=_NARROWEST)
            answer = runner.answer(batch)
        found.update(zip(places, answer.float().cpu(), strict=True))
    return torch.stack([found[place] for place in range(len(texts))])


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows by length, so many at once as fill a batch."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda at: (lengths[at], at)):
        if batch and (len(batch) + 1) * lengths[place] > _AT_ONCE:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
