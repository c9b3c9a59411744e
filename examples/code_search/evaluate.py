"""How well a model directory finds held-out functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from examples.code_search.encoder import embed, load
from examples.code_search.settings import Settings, ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.code_search.data import Function
    from examples.code_search.encoder import Encoder
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

    1.0 means that every first hit is the right one. A tie counts against the model. Takes a few
    seconds for 500 functions.
    """
    settings = settings or Settings()
    encoder = load(folder)
    docstrings = [function.docstring for function in functions]
    bodies = [function.body for function in functions]
    texts = ((docstrings, settings.docstring_tokens), (bodies, settings.body_tokens))
    total = sum(len(part) for part, _ in texts)
    vectors = []
    advance(folder.name, 0, total)
    for done, (part, tokens) in zip((0, len(docstrings)), texts, strict=True):

        def count(seen: int, before: int = done) -> None:
            advance(folder.name, before + seen, total)

    return _mean_reciprocal_rank(*vectors)
