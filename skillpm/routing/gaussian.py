"""Skills and everything else as Gaussians: what a text's features say for each skill.

The two-covariance model of speaker verification (Brümmer & de Villiers 2010; PLDA: Ioffe 2006).
A text of skill s is N(y_s, W) around the skill's own centre y_s, all skills having W in common;
centres are N(m, B). What fits no skill has a centre of its own: it is N(m, B + W). The evidence
for a skill that showed n examples is the log-likelihood ratio of these two, the centre averaged
over what the examples leave open; its quadratic part is the relative Mahalanobis distance of Ren
et al. (2021), with the uncertainty of few examples counted in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillpm.routing.signature import Array

PRIOR = 8.0
"""How many texts the isotropic guess of B + W is worth."""
_FLOOR = 1e-9


@dataclass(frozen=True)
class Space:
    """Coordinates in which W is the identity and B is diagonal, `spread` [width]; m is 0."""

    centre: Array
    axes: Array
    spread: Array

    def seen(self, features: Array) -> Array:
        """Features in these coordinates, [n, width]."""
        return (features - self.centre) @ self.axes


def space_of(samples: Sequence[Array], background: Array) -> Space:
    """The space of the installed skills' samples [n, width] and of background [m, width].

    W is pooled over the skills' samples; B + W is that of all texts, where a sample's texts count
    together as one half, the background as the other. Both are shrunk (Ledoit & Wolf 2004), B + W
    towards texts that lie anywhere on the unit sphere.
    """
    within = _within(samples)
    means = np.stack([one.mean(axis=0) for one in samples])
    rest = background if len(background) else means
    centre = rest.mean(axis=0)
    total = _total(samples, background, centre)
    low = np.linalg.cholesky(within)
    half = np.linalg.solve(low, total)
    white = np.linalg.solve(low, half.T)
    values, vectors = np.linalg.eigh((white + white.T) / 2)
    axes = np.linalg.solve(low.T, vectors)
    return Space(centre, axes, np.maximum(values - 1, 0))


def _within(samples: Sequence[Array]) -> Array:
    rows = np.concatenate([one - one.mean(axis=0) for one in samples])
    freedom = len(rows) - len(samples)
    return shrunk(rows * np.sqrt(len(rows) / freedom))


def _total(samples: Sequence[Array], background: Array, centre: Array) -> Array:
    """B + W: skills and background weigh the same; beside them a guess worth `PRIOR` texts."""
    parts = [np.concatenate(samples), *([background] if len(background) else [])]
    moved = [part - centre for part in parts]
    found = np.mean([part.T @ part / len(part) for part in moved], axis=0)
    width, effective = len(centre), len(samples) + len(background)
    guess = max(_FLOOR, 1 - float(centre @ centre)) / width
    return np.asarray(
        (effective * found + PRIOR * guess * np.eye(width)) / (effective + PRIOR), dtype=np.float64
    )


def shrunk(rows: Array) -> Array:
    """The covariance of centred rows [n, width], shrunk towards a multiple of the identity.

    By as much as lowers the expected squared error most (Ledoit & Wolf 2004): positive definite
    whatever n is.
    """
    count, width = rows.shape
    found = rows.T @ rows / count
    level = max(_FLOOR, float(np.trace(found)) / width)
    distance = float(np.square(found - level * np.eye(width)).sum())
    noise = float(np.square(np.square(rows).sum(axis=1)).sum()) / count
    noise = (noise - float(np.square(found).sum())) / count
    share = 1.0 if distance <= _FLOOR * level**2 else min(1.0, max(0.0, noise / distance))
    share = max(share, _FLOOR)
    return np.asarray((1 - share) * found + share * level * np.eye(width), dtype=np.float64)


def evidence(space: Space, seen: Array, mean: Array, count: int) -> Array:
    """The evidence, ln N(x; E y, W + Cov y) - ln N(x; 0, B + W) of texts [n, width], [n].

    `mean` is that of `count` examples in the same coordinates, [width].
    """
    left = space.spread / (count * space.spread + 1)  # what is left open of the centre
    centre = count * left * mean
    near, far = 1 + left, 1 + space.spread
    parts = seen**2 / far + np.log(far) - (seen - centre) ** 2 / near - np.log(near)
    return np.asarray(parts.sum(axis=1) / 2, dtype=np.float64)
