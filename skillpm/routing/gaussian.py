"""Skills and everything else as Gaussians: what a text's features say for each skill.

The two-covariance model of speaker verification (Brümmer & de Villiers 2010; PLDA: Ioffe 2006).
A text of skill s is N(y_s, W) around the skill's own centre y_s, all skills having W in common;
centres are N(m, B). What fits no skill has a centre of its own: it is N(m, B + W). The evidence
for a skill that showed examples is the log-likelihood ratio of these two, the centre averaged
over what the examples leave open; its quadratic part is the relative Mahalanobis distance of Ren
et al. (2021), with the uncertainty of few examples counted in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillpm.routing.background import Background
from skillpm.routing.signature import MOST, Array

PRIOR = 8.0
"""How many texts the isotropic guess of B + W is worth."""
COUNT = MOST
"""How many examples every skill counts as, and the base too."""
CAP = 4.0
"""The most variance that a skill may have on an axis, as a multiple of the median skill's."""
_FLOOR = 1e-9
_TINY = 1e-30


@dataclass(frozen=True)
class Space:
    """Coordinates in which W is the identity and B is diagonal, `spread` [width]; m is 0."""

    centre: Array
    axes: Array
    spread: Array

    def seen(self, features: Array) -> Array:
        """Features in these coordinates, [n, width]."""
        return (features - self.centre) @ self.axes


@dataclass(frozen=True)
class Limits:
    """How much of its variance a skill keeps on each axis of the pooled covariance.

    `axes` [width, width], `kept` [skills, width]: at most `CAP` times the median skill's variance.
    A skill whose examples are spread along one direction would else make that direction count for
    nothing in all others. It is itself one of these axes then, so that there is no hiding.
    """

    axes: Array
    kept: Array

    @classmethod
    def of(cls, samples: Sequence[Array], background: Background) -> "Limits":
        """The limits of a set. Costs an eigenvalue problem."""
        pooled = np.concatenate(_weighed(samples, background))
        axes = np.linalg.eigh(pooled.T @ pooled)[1]
        variances = np.stack([np.square(_centred(one) @ axes).mean(axis=0) for one in samples])
        usual = lower_median(variances)
        return cls(axes, np.minimum(1, CAP * usual / np.maximum(variances, _TINY)))


def space_of(
    samples: Sequence[Array], background: Background, limits: Limits | None = None
) -> Space:
    """The space of the installed skills' samples [n, width] and of the background.

    Every skill weighs the same, whatever its number of examples. W is pooled over the skills and
    the background, within `limits`, by default the set's own; B + W is that of all texts, where
    the skills count together as one half, the background as the other. Both are shrunk (Ledoit &
    Wolf 2004), B + W towards texts that lie anywhere on the unit sphere.
    """
    within = _within(samples, background, limits or Limits.of(samples, background))
    means = np.stack([sample.mean(axis=0) for sample in samples])
    centre = background.mean if len(background.rows) else means.mean(axis=0)
    total = _total(samples, background, centre)
    whitening = np.linalg.inv(np.linalg.cholesky(within))
    white = whitening @ total @ whitening.T
    values, vectors = np.linalg.eigh((white + white.T) / 2)
    return Space(centre, whitening.T @ vectors, np.maximum(values - 1, 0))


def _worth(samples: Sequence[Array]) -> float:
    """How many texts all samples count as."""
    return len(samples) * float(np.median([len(sample) for sample in samples]))


def _weighed(samples: Sequence[Array], background: Background) -> list[Array]:
    """Deviations from the means, of the skills and last of a background, each with its weight."""
    each = _worth(samples) / len(samples)
    rows = [_centred(sample) * np.sqrt(each / len(sample)) for sample in samples]
    if len(background.rows) > 1:
        general = background.rows - background.mean
        rows.append(general * np.sqrt(background.shares * background.worth)[:, None])
    return rows


def _within(samples: Sequence[Array], background: Background, limits: Limits) -> Array:
    """W, from what the limits leave."""
    turned = [rows @ limits.axes for rows in _weighed(samples, background)]
    for place, share in enumerate(limits.kept):
        turned[place] = turned[place] * np.sqrt(share)
    rows = np.concatenate(turned)
    total = _worth(samples) + (background.worth if len(background.rows) > 1 else 0)
    found = shrunk(rows * np.sqrt(len(rows) / total))
    return np.asarray(limits.axes @ found @ limits.axes.T, dtype=np.float64)


def _centred(sample: Array) -> Array:
    """Deviations from the mean, whose mean square is the unbiased variance."""
    return np.asarray((sample - sample.mean(axis=0)) * np.sqrt(len(sample) / (len(sample) - 1)))


def lower_median(values: Array) -> Array:
    """The median along the first axis; of two middle values the lower.

    So the outlier of two is never the one that is taken where a high value does the harm.
    """
    return np.asarray(np.sort(values, axis=0)[(len(values) - 1) // 2], dtype=np.float64)


def _total(samples: Sequence[Array], background: Background, centre: Array) -> Array:
    """B + W: skills and background weigh the same; beside them a guess worth `PRIOR` texts."""
    width = len(centre)
    moved = [(sample - centre) / np.sqrt(len(sample)) for sample in samples]
    moments = [np.mean([rows.T @ rows for rows in moved], axis=0)]
    if len(background.rows):
        general = (background.rows - centre) * np.sqrt(background.shares)[:, None]
        moments.append(general.T @ general)
    effective = _worth(samples) + background.worth
    guess = max(_FLOOR, 1 - float(centre @ centre)) / width
    found = effective * np.mean(moments, axis=0) + PRIOR * guess * np.eye(width)
    return np.asarray(found / (effective + PRIOR), dtype=np.float64)


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


def evidence(space: Space, seen: Array, means: Array) -> Array:
    """The evidence ln N(x; E y, W + Cov y) - ln N(x; 0, B + W) for k centres, [n, k].

    `seen` are texts [n, width], `means` those of the examples in the same space, [k, width]. Each
    counts as `COUNT` examples: the number that a pack sends is its author's choice, and gives it
    no weight.
    """
    left = space.spread / (COUNT * space.spread + 1)  # what is left open of the centre
    centres = COUNT * left * means
    near, far = 1 + left, 1 + space.spread
    alone = (seen**2) @ (1 / far - 1 / near) + np.sum(np.log(far) - np.log(near))
    drawn = 2 * seen @ (centres / near).T - (centres**2 / near).sum(axis=1)
    return np.asarray((alone[:, None] + drawn) / 2, dtype=np.float64)
