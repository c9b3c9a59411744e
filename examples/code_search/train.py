"""Contrastive fine-tuning of every parameter of the encoder, embeddings included."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch

from examples.code_search.encoder import embed
from examples.code_search.settings import Settings, ignore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from examples.code_search.data import Function
    from examples.code_search.encoder import Encoder
    from examples.code_search.settings import Advance

STAGE = "training"


def train(
    encoder: Encoder,
    functions: Sequence[Function],
    *,
    settings: Settings | None = None,
    advance: Advance = ignore,
) -> None:
    """Tune the encoder in place so that a docstring is nearest to its own function's body.

    The loss is the symmetric in-batch cross-entropy of cos(docstring, body) / temperature: every
    other pair of the batch is a wrong answer. AdamW runs without weight decay, the default of
    the Hugging Face trainers, so rows of tokens that never occur and the unused pooler stay
    unchanged. There is no dropout: seed, data and machine determine the result.
    """
    settings = settings or Settings()
    parameters = list(encoder.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    batches = list(_batches(functions, settings=settings))
    slope = _slope(len(batches), warmup=settings.warmup)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, slope.__getitem__)
    advance(STAGE, 0, len(batches))
    for done, batch in enumerate(batches, start=1):
        optimizer.zero_grad()
        _loss(encoder, batch, settings=settings).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        advance(STAGE, done, len(batches))


def _loss(encoder: Encoder, batch: Sequence[Function], *, settings: Settings) -> torch.Tensor:
    docstrings = [function.docstring for function in batch]
    bodies = [function.body for function in batch]
    queries = embed(encoder, docstrings, tokens=settings.docstring_tokens)  # [batch, width]
    answers = embed(encoder, bodies, tokens=settings.body_tokens)  # [batch, width]
    scores = queries @ answers.T / settings.temperature  # [batch, batch]
    right = torch.arange(len(batch))
    forth = torch.nn.functional.cross_entropy(scores, right)
    back = torch.nn.functional.cross_entropy(scores.T, right)
    return (forth + back) / 2


def _batches(
    functions: Sequence[Function], *, settings: Settings
) -> Iterator[tuple[Function, ...]]:
    """Each pass in a new order, each batch made of groups of neighbours from one module.

    Functions of one module are hard negatives for each other. Functions of different modules
    already differ by subject, which the base recognises. Incomplete batches are dropped.
    """
    together = settings.batch // settings.group
    steps_of_a_pass = len(functions) // settings.group // together
    passes = _passes(functions, settings=settings, together=together)
    return islice(passes, round(settings.passes * steps_of_a_pass))


def _passes(
    functions: Sequence[Function], *, settings: Settings, together: int
) -> Iterator[tuple[Function, ...]]:
    """Batches of `together` groups, pass after pass without end."""
    generator = torch.Generator().manual_seed(settings.seed)
    while True:
        groups = _groups(functions, size=settings.group, generator=generator)
        order = torch.randperm(len(groups), generator=generator).tolist()
        for start in range(0, len(order) - together + 1, together):
            places = order[start : start + together]
            yield tuple(function for place in places for function in groups[place])


def _groups(
    functions: Sequence[Function], *, size: int, generator: torch.Generator
) -> list[list[Function]]:
    """Shuffle within each module, then cut the modules, one after the other, into groups."""
    order = torch.randperm(len(functions), generator=generator).tolist()
    line = sorted((functions[place] for place in order), key=lambda function: function.module)
    return [line[start : start + size] for start in range(0, len(line) - size + 1, size)]


def _slope(steps: int, *, warmup: float) -> list[float]:
    """Learning-rate factors, one per step: linear warm-up, then linear fall to zero."""
    rising = max(1, round(steps * warmup))
    falling = max(1, steps - rising)
    factors = [min((step + 1) / rising, (steps - step) / falling) for step in range(steps)]
    return [*factors, 0.0]
