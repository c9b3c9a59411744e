"""What the installed signatures say of each other: thresholds, near-equal skills, false voices.

Every example is judged by a space, and by a centre of its own skill, that have not seen it
(Barber et al. 2021: cross-validation gives conformal thresholds without a sample put by for it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from skillpm.routing.background import Background, distinct_voices
from skillpm.routing.gaussian import Limits, evidence, lower_median, space_of
from skillpm.routing.signature import Array, Signature
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import NearPair

FOLDS = 8
REJECTED = 0.02
"""The share of a skill's own texts that may be sent to the base, where it has examples enough."""
NEAR = 0.6
"""The overlap from which two skills are near-equal (`NearPair`)."""
REFUTED = 0.1
"""The share of a skill's examples that a background may send to the base, and still be heard."""
SLACK = 0.5
"""How far a skill may fit its own examples worse than usual, as a share of the way from the usual
to the threshold."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Voices:
    """The different backgrounds, how many packs send each, and which one each skill's pack has."""

    rows: tuple[Array, ...]
    packs: tuple[int, ...]
    own: tuple[int | None, ...]

    @classmethod
    def of(cls, signatures: Sequence[Signature]) -> "Voices":
        """The voices of a set, in its order."""
        rows, own = distinct_voices([signature.background for signature in signatures])
        packs = tuple(own.count(place) for place in range(len(rows)))
        return cls(tuple(_limited(rows, packs)), packs, tuple(own))

    def pool(self, heard: Flags, width: int) -> Background:
        """The background of the voices that are heard."""
        kept = np.flatnonzero(heard)
        rows = [self.rows[place] for place in kept]
        return Background.of(rows, [self.packs[place] for place in kept], width)


def _limited(voices: Sequence[Array], packs: Sequence[int]) -> list[Array]:
    """The backgrounds, none with more variance on an axis than `Limits` leave it; means stay."""
    several = [place for place, rows in enumerate(voices) if len(rows) > 1]
    if len(several) < 2:  # noqa: PLR2004 - one alone has nothing to be measured by
        return list(voices)
    counted = [place for place in several for _ in range(packs[place])]
    nothing = Background.of([], [], voices[0].shape[1])
    limits = Limits.of([voices[place] for place in counted], nothing)
    found = list(voices)
    for place in several:
        kept = limits.kept[counted.index(place)]
        if kept.min() < 1:
            mean = voices[place].mean(axis=0)
            turned = (voices[place] - mean) @ limits.axes * np.sqrt(kept)
            found[place] = mean + turned @ limits.axes.T
    return found


@dataclass(frozen=True)
class Judged:
    """Each skill's examples, judged without being seen; one array a skill.

    `own` [n] is the evidence for the skill itself, `others` [n, skills] for every skill (its own
    column is `own`), `voices` [n, voices] for the base as each background describes it.
    """

    own: tuple[Array, ...]
    others: tuple[Array, ...]
    voices: tuple[Array, ...]


def judge(samples: Sequence[Array], background: Background, voices: Voices) -> Judged:
    """Judge all examples. Costs `FOLDS` spaces, in the limits of the whole set."""
    limits = Limits.of(samples, background)
    found = [
        (np.zeros((len(sample), len(samples))), np.zeros((len(sample), len(voices.rows))))
        for sample in samples
    ]
    for fold in range(FOLDS):
        kept = [np.arange(len(sample)) % FOLDS != fold for sample in samples]
        rest = background.without_fold(fold, FOLDS)
        held = [sample[keep] for sample, keep in zip(samples, kept, strict=True)]
        space = space_of(held, rest, limits)
        whole = np.stack([space.seen(sample).mean(axis=0) for sample in samples])
        general = np.array([space.seen(rows).mean(axis=0) for rows in voices.rows])
        for place, (sample, keep) in enumerate(zip(samples, kept, strict=True)):
            seen = space.seen(sample[~keep])
            means = whole.copy()
            means[place] = space.seen(held[place]).mean(axis=0)
            found[place][0][~keep] = evidence(space, seen, means)
            if len(general):
                found[place][1][~keep] = evidence(space, seen, general)
    others = tuple(one for one, _ in found)
    own = tuple(one[:, place] for place, one in enumerate(others))
    return Judged(own, others, tuple(one for _, one in found))


def threshold_of(judged: Judged) -> float:
    """The conformal threshold: a new text of a skill is under it with a chance of `REJECTED`.

    Or of 1/(n + 1) where n examples cannot tell less. One threshold serves all skills: each
    skill's own would rest on its one or two strangest examples. It is the median skill's, so that
    no skill moves it by examples that fit well or badly.
    """
    reached = [np.sort(own)[max(0, int(REJECTED * (len(own) + 1)) - 1)] for own in judged.own]
    return float(lower_median(np.array(reached)))


def handicaps_of(judged: Judged, threshold: float) -> Array:
    """By how much each skill fits its own examples worse than skills do, [skills], in nats.

    Examples of everything are of no one kind: what fits them badly must not win others' texts.
    """
    middles = np.array([float(np.median(own)) for own in judged.own])
    usual = float(lower_median(middles))
    expected = usual - SLACK * max(0.0, usual - threshold)
    return np.asarray(np.maximum(0.0, expected - middles), dtype=np.float64)


def near_pairs(skills: Sequence[SkillName], judged: Judged) -> tuple[NearPair, ...]:
    """The pairs of skills of whose examples a share of `NEAR` would go to the other."""
    pairs = []
    for a, b in combinations(range(len(skills)), 2):
        overlap = _taken(judged, a, b) + _taken(judged, b, a)
        if overlap >= NEAR:
            first, second = sorted((skills[a], skills[b]))
            pairs.append(NearPair(first, second, overlap))
    return tuple(sorted(pairs))


def _taken(judged: Judged, owner: int, taker: int) -> float:
    return float(np.mean(judged.others[owner][:, taker] >= judged.own[owner]))


def heard_voices(judged: Judged, voices: Voices) -> Flags:
    """Which background speaks for the base against which skill, [skills, voices].

    One that would send more than `REFUTED` of a skill's own examples to the base is not heard
    against this skill, unless it is that of its own pack, or of most packs: then it is the skill
    that is odd.
    """
    skills = len(judged.own)
    heard = np.ones((skills, len(voices.rows)), dtype=np.bool_)
    weights = np.array(voices.packs)
    prior = np.log(skills)
    for place, (own, base) in enumerate(zip(judged.own, judged.voices, strict=True)):
        lost = (base + prior > own[:, None]).mean(axis=0)
        refuted = lost > REFUTED
        mine = voices.own[place]
        if mine is not None:
            refuted[mine] = False
        if 2 * weights[refuted].sum() <= weights.sum():
            heard[place] = ~refuted
    return heard


def ranks_of(skills: Sequence[SkillName], order: Sequence[SkillName]) -> Mapping[SkillName, int]:
    """The place of each skill where near-equal ones compete; a skill not in `order` comes last."""
    listed = [skill for skill in order if skill in skills]
    rest = sorted(set(skills) - set(listed))
    return {skill: place for place, skill in enumerate((*listed, *rest))}
