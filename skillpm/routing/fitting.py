"""Fits the router to the installed signatures: threshold, near-equal skills, false backgrounds.

Each example is scored by a space, and by a centre of its own skill, that were fitted without it.
Cross-validation thus gives conformal thresholds without a held-out sample (Barber et al. 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from skillpm.routing.background import Background, distinct_backgrounds
from skillpm.routing.gaussian import Limits, evidence, lower_median, space_of
from skillpm.routing.signature import Array, Signature
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import NearPair

FOLDS = 8
"""Folds of the cross-validation."""
REJECTED = 0.02
"""The share of a skill's own texts that may be sent to the base, if it has enough examples."""
NEAR = 0.6
"""The overlap from which two skills are near-equal (`NearPair`)."""
REFUTED = 0.1
"""A background that sends more than this share of a skill's examples to the base is refuted."""
SLACK = 0.5
"""How much worse than usual a skill may fit its own examples, as a share of the distance from
the usual evidence to the threshold."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Backgrounds:
    """The distinct backgrounds, the packs that sent each, and the background of each skill's pack.

    `rows` are the distinct backgrounds [m, width]; `packs` are the numbers of packs that sent each;
    `own` are indices, None for a skill without a background.
    """

    rows: tuple[Array, ...]
    packs: tuple[int, ...]
    own: tuple[int | None, ...]

    @classmethod
    def of(cls, signatures: Sequence[Signature]) -> "Backgrounds":
        """Collect the backgrounds of a set of signatures, in its order."""
        rows, own = distinct_backgrounds([signature.background for signature in signatures])
        packs = tuple(own.count(place) for place in range(len(rows)))
        return cls(tuple(_limited(rows, packs)), packs, tuple(own))

    def pool(self, accepted: Flags, width: int) -> Background:
        """Pool the accepted backgrounds."""
        kept = np.flatnonzero(accepted)
        rows = [self.rows[place] for place in kept]
        return Background.of(rows, [self.packs[place] for place in kept], width)


def _limited(backgrounds: Sequence[Array], packs: Sequence[int]) -> list[Array]:
    """Limit the variance of each background on each axis by `Limits`; means do not change."""
    spread = [place for place, rows in enumerate(backgrounds) if len(rows) > 1]
    if len(spread) < 2:  # noqa: PLR2004 - a single one has nothing to be compared with
        return list(backgrounds)
    counted = [place for place in spread for _ in range(packs[place])]
    nothing = Background.of([], [], backgrounds[0].shape[1])
    limits = Limits.of([backgrounds[place] for place in counted], nothing)
    limited = list(backgrounds)
    for place in spread:
        kept = limits.kept[counted.index(place)]
        if kept.min() < 1:
            mean = backgrounds[place].mean(axis=0)
            turned = (backgrounds[place] - mean) @ limits.axes * np.sqrt(kept)
            limited[place] = mean + turned @ limits.axes.T
    return limited


@dataclass(frozen=True)
class CrossValidated:
    """The evidence of each skill's examples, computed without the example; one array per skill.

    `own` [n] is the evidence for the skill itself, `others` [n, skills] for every skill (`own` is
    the skill's own column), `backgrounds` [n, backgrounds] for the base as each background
    describes it.
    """

    own: tuple[Array, ...]
    others: tuple[Array, ...]
    backgrounds: tuple[Array, ...]


def cross_validate(
    samples: Sequence[Array], background: Background, backgrounds: Backgrounds
) -> CrossValidated:
    """Score all examples. Costs `FOLDS` spaces, within the limits of the whole set."""
    limits = Limits.of(samples, background)
    scores = [
        (np.zeros((len(sample), len(samples))), np.zeros((len(sample), len(backgrounds.rows))))
        for sample in samples
    ]
    for fold in range(FOLDS):
        kept = [np.arange(len(sample)) % FOLDS != fold for sample in samples]
        rest = background.without_fold(fold, FOLDS)
        held = [sample[keep] for sample, keep in zip(samples, kept, strict=True)]
        space = space_of(held, rest, limits)
        centres = np.stack([space.project(sample).mean(axis=0) for sample in samples])
        background_means = np.array([space.project(rows).mean(axis=0) for rows in backgrounds.rows])
        for place, (sample, keep) in enumerate(zip(samples, kept, strict=True)):
            projected = space.project(sample[~keep])
            means = centres.copy()
            means[place] = space.project(held[place]).mean(axis=0)
            scores[place][0][~keep] = evidence(space, projected, means)
            if len(background_means):
                scores[place][1][~keep] = evidence(space, projected, background_means)
    others = tuple(by_skill for by_skill, _ in scores)
    own = tuple(by_skill[:, place] for place, by_skill in enumerate(others))
    return CrossValidated(own, others, tuple(by_background for _, by_background in scores))


def threshold_of(validated: CrossValidated) -> float:
    """Return the conformal threshold of the evidence.

    A new text of a skill is below it with probability `REJECTED`, or 1/(n + 1) if n examples are
    too few for that. All skills share one threshold, because a skill's own would depend on its one
    or two most unusual examples. It is the lower median over the skills, so that a skill cannot
    move it by examples that fit well or badly.
    """
    thresholds = [np.sort(own)[max(0, int(REJECTED * (len(own) + 1)) - 1)] for own in validated.own]
    return float(lower_median(np.array(thresholds)))


def handicaps_of(validated: CrossValidated, threshold: float) -> Array:
    """Return how much worse each skill fits its own examples than usual, [skills], in nats.

    Examples of unrelated kinds fit their skill badly, and must not win the texts of other skills.
    """
    medians = np.array([float(np.median(own)) for own in validated.own])
    usual = float(lower_median(medians))
    expected = usual - SLACK * max(0.0, usual - threshold)
    return np.asarray(np.maximum(0.0, expected - medians), dtype=np.float64)


def near_pairs(skills: Sequence[SkillName], validated: CrossValidated) -> tuple[NearPair, ...]:
    """Return the pairs of skills whose overlap is at least `NEAR`.

    The overlap is the sum of two shares: of each skill's examples, those that fit the other at
    least as well.
    """
    pairs = []
    for a, b in combinations(range(len(skills)), 2):
        overlap = _taken(validated, a, b) + _taken(validated, b, a)
        if overlap >= NEAR:
            first, second = sorted((skills[a], skills[b]))
            pairs.append(NearPair(first, second, overlap))
    return tuple(sorted(pairs))


def _taken(validated: CrossValidated, owner: int, taker: int) -> float:
    """Return the share of the owner's examples that the taker fits at least as well."""
    return float(np.mean(validated.others[owner][:, taker] >= validated.own[owner]))


def accepted_backgrounds(validated: CrossValidated, backgrounds: Backgrounds) -> Flags:
    """Return which background describes the base against which skill, [skills, backgrounds].

    A background that would send more than `REFUTED` of a skill's own examples to the base is
    rejected for that skill. It is accepted nevertheless if it is the background of the skill's own
    pack, or if most packs' backgrounds would be rejected: then the skill is the exception.
    """
    skills = len(validated.own)
    accepted = np.ones((skills, len(backgrounds.rows)), dtype=np.bool_)
    weights = np.array(backgrounds.packs)
    prior = np.log(skills)
    for place, (own, base) in enumerate(zip(validated.own, validated.backgrounds, strict=True)):
        sent_to_base = (base + prior > own[:, None]).mean(axis=0)
        refuted = sent_to_base > REFUTED
        own_place = backgrounds.own[place]
        if own_place is not None:
            refuted[own_place] = False
        if 2 * weights[refuted].sum() <= weights.sum():
            accepted[place] = ~refuted
    return accepted


def ranks_of(skills: Sequence[SkillName], order: Sequence[SkillName]) -> Mapping[SkillName, int]:
    """Return the rank of each skill among near-equal ones; a skill not in `order` comes last."""
    listed = [skill for skill in order if skill in skills]
    unlisted = sorted(set(skills) - set(listed))
    return {skill: place for place, skill in enumerate((*listed, *unlisted))}
