"""What the router sees of a text: pooled hidden states of the base, of few enough numbers."""

from collections.abc import Sequence

import numpy as np

from skillpm.routing.projection import signs
from skillpm.routing.signature import WIDTH, Array
from skillpm.running.runner import Runner
from skillpm.running.states import generate_texts, hidden_size, pooled

DEPTHS = (0.0, 1.0)
"""The words alone, and what the whole model makes of them. Fixed, so that signatures of one base
can be compared."""
IMAGINED = 64


def features(runner: Runner, texts: Sequence[str]) -> Array:
    """Features of texts, [texts, width]: unit vectors, in which each depth has the same length.

    Where depths × hidden size is over `WIDTH`, it is projected to it. White space around a text
    says nothing of what it is for; a text without tokens has features 0. Costs a forward pass.
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
    """Features of a text of this model."""
    return min(WIDTH, len(DEPTHS) * hidden_size(runner))


def own_background(runner: Runner) -> Array:
    """Features of texts that the base makes up: [texts, width], no texts for an encoder."""
    texts = [text for text in generate_texts(runner, IMAGINED) if text.strip()]
    return features(runner, texts)
