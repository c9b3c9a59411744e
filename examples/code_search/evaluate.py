"""The retrieval quality of a model directory on held-out functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from examples.code_search.encoder import embed, load
from examples.code_search.settings import Settings, ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.code_search.data import Function
    from examples.code_search.settings import Advance

BATCH = 50


def mrr(
    folder: Path,
    functions: Sequence[Function],
    *,
    settings: Settings | None = None,
    advance: Advance = ignore,
) -> float:
    """Return the mean reciprocal rank of each docstring's own body among all the bodies.

    1.0 means that every first result is right; a tie counts against the model. Takes a few seconds
    for 500 functions. `advance` is called with the stage `evaluating FOLDER`.
    """
    settings = settings or Settings()
    encoder = load(folder)
    stage = f"evaluating {folder.name}"
    queries, answers = [], []
    advance(stage, 0, len(functions))
    with torch.inference_mode():
        for start in range(0, len(functions), BATCH):
            part = functions[start : start + BATCH]
            docstrings = [function.docstring for function in part]
            bodies = [function.body for function in part]
            queries.append(embed(encoder, docstrings, tokens=settings.docstring_tokens))
            answers.append(embed(encoder, bodies, tokens=settings.body_tokens))
            advance(stage, start + len(part), len(functions))
    return _mean_reciprocal_rank(torch.cat(queries), torch.cat(answers))


def _mean_reciprocal_rank(queries: torch.Tensor, answers: torch.Tensor) -> float:
    scores = queries @ answers.T  # [queries, answers]
    own = scores.diagonal().unsqueeze(dim=1)  # [queries, 1]
    ranks = (scores >= own).sum(dim=1)  # [queries]
    return float((1.0 / ranks.double()).mean())
