"""Supervised contrastive tuning: functions of the same package get similar embeddings."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import torch

from examples.code_search.encoder import embed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.finetunes.settings import Contrast
    from examples.code_search.data import Function
    from examples.code_search.encoder import Encoder
    from examples.code_search.settings import Advance


def train(
    encoder: Encoder, functions: Sequence[Function], contrast: Contrast, *, advance: Advance
) -> None:
    """Tune every weight in place; the loss is SupCon's (Khosla et al. 2020, equation 2)."""
    parameters = list(encoder.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=contrast.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, contrast.factor)
    for done, (texts, labels) in enumerate(batches(functions, contrast), start=1):
        vectors = embed(encoder, texts, tokens=contrast.tokens)  # [batch, width]
        loss = loss_of(vectors, labels, temperature=contrast.temperature)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        advance(f"training, loss {float(loss.detach()):.3f}", done, contrast.steps)


def loss_of(vectors: torch.Tensor, labels: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Mean over texts of −log softmax(cos / temperature) of partners, without the text itself."""
    itself = torch.eye(len(labels), dtype=torch.bool)
    scores = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    partners = (labels[:, None] == labels[None, :]) & ~itself  # [batch, batch]
    return -scores.log_softmax(dim=1)[partners].mean()


def batches(
    functions: Sequence[Function], contrast: Contrast
) -> Iterator[tuple[list[str], torch.Tensor]]:
    """A fresh sample of packages for each step, with a fixed number of functions of each."""
    generator = torch.Generator().manual_seed(contrast.seed)
    texts: dict[str, list[str]] = defaultdict(list)
    for function in functions:
        texts[function.module].append(function.body)
    names = sorted(texts)
    for _ in range(contrast.steps):
        chosen = torch.randperm(len(names), generator=generator)[: contrast.classes].tolist()
        drawn = [
            texts[names[label]][place]
            for label in chosen
            for place in _some(len(texts[names[label]]), contrast.each, generator)
        ]
        yield drawn, torch.tensor(chosen).repeat_interleave(contrast.each)


def _some(count: int, wanted: int, generator: torch.Generator) -> list[int]:
    return torch.randperm(count, generator=generator)[:wanted].tolist()
