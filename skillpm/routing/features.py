"""The router's features of a text: pooled hidden states of the base, projected if too wide."""

from collections.abc import Sequence

import numpy as np

from skillpm.routing.projection import signs
from skillpm.routing.signature import WIDTH, Array
from skillpm.running.hidden_states import generate_texts, hidden_size, pooled
from skillpm.running.runner import Runner

DEPTHS = (0.0, 1.0)
"""The embeddings alone, and the output of the last layer. Fixed, so that signatures of one base
are comparable."""
IMAGINED = 64
"""Background texts that the base generates."""


def features(runner: Runner, texts: Sequence[str]) -> Array:
    """Return the features of texts, [texts, width]: unit vectors; each depth has the same weight.

    If depths × hidden size exceeds `WIDTH`, the features are projected to `WIDTH`. White space
    around a text is ignored; a text without tokens has features 0. Costs a forward pass per text.
    """
    states = pooled(runner, [text.strip() for text in texts], DEPTHS).numpy().astype(np.float64)
    units = _units(states)
    flat = units.reshape(len(texts), units.shape[1] * units.shape[2])
    if flat.shape[1] > WIDTH:
        flat = flat @ signs(flat.shape[1], WIDTH)
    return _units(flat)


def _units(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float64)


def width_of(runner: Runner) -> int:
    """Return the number of features of a text of this model."""
    return min(WIDTH, len(DEPTHS) * hidden_size(runner))


def own_background(runner: Runner) -> Array:
    """Features of texts that the base makes up: [texts, width], no texts for an encoder."""
    texts = [text for text in generate_texts(runner, IMAGINED) if text.strip()]
    return features(runner, texts)
