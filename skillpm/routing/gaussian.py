"""Gaussian models of the skills and of all other texts: the evidence of features for each skill.

The two-covariance model of speaker verification (Brümmer & de Villiers 2010; PLDA: Ioffe 2006). A
text of skill s is N(y_s, W) around the skill's centre y_s; all skills share W. Centres are N(m, B).
A text of no skill has its own centre: it is N(m, B + W). The evidence for a skill with examples is
the log-likelihood ratio of these two, averaged over the posterior of the centre. Its quadratic part
is the relative Mahalanobis distance of Ren et al. (2021), with the uncertainty of few examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skillpm.routing.background import Background
from skillpm.routing.signature import MOST, Array

PRIOR = 8.0
"""The number of texts that the isotropic prior of B + W counts as."""
COUNT = MOST
"""The number of examples that every skill counts as, and the base too."""
CAP = 4.0
"""The most variance of a skill on an axis, as a multiple of the median skill's."""
_FLOOR = 1e-9
_TINY = 1e-30


@dataclass(frozen=True)
class Space:
    """Coordinates in which W is the identity and B is diagonal, `spread` [width]; m is 0."""

    centre: Array
    axes: Array
    spread: Array

    def project(self, features: Array) -> Array:
        """Return features [n, width] in these coordinates."""
        return (features - self.centre) @ self.axes


@dataclass(frozen=True)
class Limits:
    """The share of its variance that a skill keeps on each axis of the pooled covariance.

    `axes` [width, width]; `kept` [skills, width] limits the variance to `CAP` times the median
    skill's. Without a limit, a skill whose examples spread along one direction would make that
    direction worthless for all other skills. With such a skill in the set, that direction is one of
    the axes, so the limit always applies.
    """

    axes: Array
    kept: Array

    @classmethod
    def of(cls, samples: Sequence[Array], background: Background) -> "Limits":
        """Compute the limits of a set. Costs an eigenvalue decomposition."""
        pooled = np.concatenate(_weighed(samples, background))
        axes = np.linalg.eigh(pooled.T @ pooled)[1]
        variances = np.stack(
            [np.square(_centred(sample) @ axes).mean(axis=0) for sample in samples]
        )
        usual = lower_median(variances)
        return cls(axes, np.minimum(1, CAP * usual / np.maximum(variances, _TINY)))


def space_of(
    samples: Sequence[Array], background: Background, limits: Limits | None = None
) -> Space:
    """Compute the space of the installed skills' samples [n, width] and of the background.

    Every skill has the same weight, independent of its number of examples. W is pooled over the
    skills and the background, within `limits`, by default those of the set. B + W is the covariance
    of all texts; skills and background count as one half each. Both are shrunk (Ledoit & Wolf
    2004), B + W towards texts distributed uniformly on the unit sphere.
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
    """Return the number of texts that all samples count as."""
    return len(samples) * float(np.median([len(sample) for sample in samples]))


def _weighed(samples: Sequence[Array], background: Background) -> list[Array]:
    """Return weighted deviations from the means, of the skills and last of the background."""
    share = _worth(samples) / len(samples)
    rows = [_centred(sample) * np.sqrt(share / len(sample)) for sample in samples]
    if len(background.rows) > 1:
        deviations = background.rows - background.mean
        rows.append(deviations * np.sqrt(background.shares * background.worth)[:, None])
    return rows


def _within(samples: Sequence[Array], background: Background, limits: Limits) -> Array:
    """Return W [width, width], within the limits."""
    rotated = [rows @ limits.axes for rows in _weighed(samples, background)]
    for place, share in enumerate(limits.kept):
        rotated[place] = rotated[place] * np.sqrt(share)
    rows = np.concatenate(rotated)
    total = _worth(samples) + (background.worth if len(background.rows) > 1 else 0)
    covariance = shrunk(rows * np.sqrt(len(rows) / total))
    return np.asarray(limits.axes @ covariance @ limits.axes.T, dtype=np.float64)


def _centred(sample: Array) -> Array:
    """Return deviations from the mean, scaled so that their mean square is unbiased."""
    return np.asarray((sample - sample.mean(axis=0)) * np.sqrt(len(sample) / (len(sample) - 1)))


def lower_median(values: Array) -> Array:
    """Return the median along the first axis; of two middle values the lower.

    Of two values, this is never a high outlier; a high value would be the harmful one.
    """
    return np.asarray(np.sort(values, axis=0)[(len(values) - 1) // 2], dtype=np.float64)


def _total(samples: Sequence[Array], background: Background, centre: Array) -> Array:
    """Return B + W: skills and background weigh the same; a prior counts as `PRIOR` texts."""
    width = len(centre)
    centred = [(sample - centre) / np.sqrt(len(sample)) for sample in samples]
    moments = [np.mean([rows.T @ rows for rows in centred], axis=0)]
    if len(background.rows):
        deviations = (background.rows - centre) * np.sqrt(background.shares)[:, None]
        moments.append(deviations.T @ deviations)
    effective = _worth(samples) + background.worth
    prior = max(_FLOOR, 1 - float(centre @ centre)) / width
    total = effective * np.mean(moments, axis=0) + PRIOR * prior * np.eye(width)
    return np.asarray(total / (effective + PRIOR), dtype=np.float64)


def shrunk(rows: Array) -> Array:
    """Return the covariance of centred rows [n, width], shrunk towards a multiple of the identity.

    The share of shrinkage minimises the expected squared error (Ledoit & Wolf 2004); the result is
    positive definite for any n.
    """
    count, width = rows.shape
    covariance = rows.T @ rows / count
    level = max(_FLOOR, float(np.trace(covariance)) / width)
    distance = float(np.square(covariance - level * np.eye(width)).sum())
    noise = float(np.square(np.square(rows).sum(axis=1)).sum()) / count
    noise = (noise - float(np.square(covariance).sum())) / count
    share = 1.0 if distance <= _FLOOR * level**2 else min(1.0, max(0.0, noise / distance))
    share = max(share, _FLOOR)
    return np.asarray((1 - share) * covariance + share * level * np.eye(width), dtype=np.float64)


def evidence(space: Space, projected: Array, means: Array) -> Array:
    """Return the evidence ln N(x; E y, W + Cov y) - ln N(x; 0, B + W) for k centres, [n, k].

    `projected` are texts [n, width] and `means` the means of the examples [k, width], both in the
    space. Each mean counts as `COUNT` examples: the number that a pack contains is its author's
    choice and gives no weight.
    """
    open_variance = space.spread / (COUNT * space.spread + 1)  # the posterior variance of a centre
    centres = COUNT * open_variance * means
    skill_variance, base_variance = 1 + open_variance, 1 + space.spread
    without_means = (projected**2) @ (1 / base_variance - 1 / skill_variance) + np.sum(
        np.log(base_variance) - np.log(skill_variance)
    )
    with_means = 2 * projected @ (centres / skill_variance).T - (centres**2 / skill_variance).sum(
        axis=1
    )
    return np.asarray((without_means[:, None] + with_means) / 2, dtype=np.float64)
