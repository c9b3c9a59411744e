"""The router's decision: a pure function of the installed signatures and a text's features.

The router uses the samples of all skills at once and keeps no state: a set has one router, whatever
the order of installation, and no skill needs another skill's data for training. All packs have the
same weight in what they share, and no pack changes what another skill is (ADR 26).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from skillpm.errors import IntegrityError
from skillpm.routing.fitting import (
    Backgrounds,
    CrossValidated,
    Flags,
    accepted_backgrounds,
    cross_validate,
    handicaps_of,
    near_pairs,
    ranks_of,
    threshold_of,
)
from skillpm.routing.gaussian import Space, evidence, space_of
from skillpm.routing.signature import Array, Signature
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import NearPair


@dataclass(frozen=True)
class SkillFit:
    """The scores of one text for one skill.

    `evidence` is the log-likelihood ratio, in nats, of this skill against no skill, less the
    skill's handicap if it fits its own examples badly. `threshold` is reached by the installed
    skills' own examples, in cross-validation. `distance` is the distance to the skill's centre, in
    standard deviations per feature. `base` is the evidence that the text is for the base, None
    without a background.
    """

    evidence: float
    threshold: float
    base: float | None
    distance: float

    @property
    def required(self) -> float:
        """The evidence that the skill needs."""
        return self.threshold if self.base is None else max(self.threshold, self.base)

    @property
    def score(self) -> float:
        """The evidence minus the required evidence; below 0 the skill does not fit."""
        return self.evidence - self.required


@dataclass(frozen=True)
class Decision:
    """A skill, or None: then the base answers.

    `score` is the best skill's, None without candidates.

    `over` is the near-equal skill with a higher score over which `best` has precedence.
    """

    skill: SkillName | None
    score: float | None
    fits: Mapping[SkillName, SkillFit]
    best: SkillName | None = None
    runner_up: SkillName | None = None
    over: SkillName | None = None

    @property
    def scores(self) -> Mapping[SkillName, float]:
        """The score of each candidate."""
        return {skill: fit.score for skill, fit in self.fits.items()}

    @property
    def reason(self) -> str:
        """What answers, and why, in a sentence."""
        if self.best is None:
            return (
                "the base answers, because no installed skill has a router signature "
                "(`skillpm pack --router FILE` adds one)"
            )
        fit = self.fits[self.best]
        if self.skill is None:
            why = "the text is not like its examples"
            if fit.base is not None and fit.base > fit.threshold:
                why = "the text is more like the inputs that the base should answer"
            return (
                f"the base answers: `{self.best}` fits best, but {why} (its score, "
                f"{fit.score:.2f}, is below 0)"
            )
        if self.over is not None:
            why = f"it fits, and has precedence over `{self.over}`, a near-equal skill"
            return f"`{self.best}` answers: {why}"
        ahead = "" if self.runner_up is None else f", ahead of `{self.runner_up}`"
        return f"`{self.best}` answers: it fits best{ahead}; the text is like its examples"


NOTHING = Decision(None, None, MappingProxyType({}))
"""The decision without candidates."""


@dataclass(frozen=True)
class _Candidates:
    """The skills that may answer, in a space, and the base as seen against each skill.

    `means` [skills, width] and `handicaps` [skills]. `bases` [bases, width] are the distinct means
    that describe the base; `against` is the index of the mean for each skill, -1 for none.
    """

    skills: tuple[SkillName, ...]
    means: Array
    handicaps: Array
    bases: Array
    against: tuple[int, ...]


@dataclass(frozen=True)
class _Rules:
    """The rules that a decision follows in addition to the evidence."""

    threshold: float = 0.0
    near: tuple[NearPair, ...] = ()
    ranks: Mapping[SkillName, int] = field(default_factory=dict)

    def beats(self, skill: SkillName) -> list[SkillName]:
        """Return the near-equal skills that have precedence over this skill."""
        pairs = [pair.skills for pair in self.near if skill in pair.skills]
        near = [second if first == skill else first for first, second in pairs]
        return [rival for rival in near if self.ranks[rival] < self.ranks[skill]]


class Router:
    """The router of a set of signatures of one base."""

    def __init__(
        self, space: Space | None, candidates: _Candidates | None, rules: _Rules, examples: int = 0
    ) -> None:
        self._space = space
        self._candidates = candidates
        self._rules = rules
        self._examples = examples

    @classmethod
    def of(
        cls,
        signatures: Mapping[SkillName, Signature],
        width: int,
        precedence: Sequence[SkillName] = (),
    ) -> "Router":
        """Build the router of an installed set over a base with `width` features per text.

        Of near-equal skills, the first in `precedence` wins; skills that it does not list come
        last, by name. Raises `IntegrityError` for a signature of another width.

        Costs eleven eigenvalue decompositions of the features' width, independent of the size of
        the set, and a product over all samples: under a second. Twice that if a background is
        refuted.
        """
        if not signatures:
            return cls(None, None, _Rules())
        named = sorted(signatures.items())
        _check_width(named, width)
        skills = tuple(skill for skill, _ in named)
        samples = [signature.examples for _, signature in named]
        backgrounds = Backgrounds.of([signature for _, signature in named])
        validated, accepted, shared = _settled(samples, backgrounds, width)
        space = space_of(samples, backgrounds.pool(shared, width))
        threshold = threshold_of(validated)
        means = np.stack([space.project(sample).mean(axis=0) for sample in samples])
        bases, against = _bases(space, backgrounds, accepted)
        handicaps = handicaps_of(validated, threshold)
        candidates = _Candidates(skills, means, handicaps, bases, against)
        rules = _Rules(threshold, near_pairs(skills, validated), ranks_of(skills, precedence))
        return cls(space, candidates, rules, sum(map(len, samples)))

    @property
    def skills(self) -> tuple[SkillName, ...]:
        """The candidates, sorted."""
        return () if self._candidates is None else self._candidates.skills

    @property
    def near(self) -> tuple[NearPair, ...]:
        """The pairs of near-equal skills."""
        return self._rules.near

    @property
    def width(self) -> int:
        """The number of features of a text; 0 without candidates."""
        return 0 if self._space is None else len(self._space.centre)

    @property
    def facts(self) -> Mapping[str, str]:
        """The numbers of candidates, examples and features, as text."""
        counts = {"skills": len(self.skills), "examples": self._examples, "features": self.width}
        return {key: str(value) for key, value in counts.items()}

    def decide(self, features: Array) -> list[Decision]:
        """Return a decision for each text [n, width]; of equal skills the first in precedence."""
        if self._space is None or self._candidates is None:
            return [NOTHING] * len(features)
        projected = self._space.project(np.asarray(features, dtype=np.float64))
        known = self._candidates
        scores = evidence(self._space, projected, known.means) - known.handicaps
        distances = _distances(projected, known.means)
        # The prior of the base is one half, and the skills share the other half.
        base = evidence(self._space, projected, known.bases) + np.log(len(known.skills))
        return [
            self._decision(scores[row], base[row], distances[row]) for row in range(len(projected))
        ]

    def _decision(self, scores: Array, base: Array, distances: Array) -> Decision:
        assert self._candidates is not None  # noqa: S101 - `decide` ensures it
        known, rules = self._candidates, self._rules
        columns = zip(known.skills, scores, known.against, distances, strict=True)
        fits = {
            skill: SkillFit(
                float(score), rules.threshold, None if against < 0 else float(base[against]),
                float(distance),
            )
            for skill, score, against, distance in columns
        }  # fmt: skip
        ranked = sorted(fits, key=lambda skill: (-fits[skill].score, rules.ranks[skill]))
        best = _preferred(ranked, fits, rules)
        rest = [skill for skill in ranked if skill != best]
        return Decision(
            skill=best if fits[best].score >= 0 else None,
            score=fits[best].score,
            fits=MappingProxyType(fits),
            best=best,
            runner_up=rest[0] if rest else None,
            over=None if best == ranked[0] else ranked[0],
        )


def _preferred(
    ranked: Sequence[SkillName], fits: Mapping[SkillName, SkillFit], rules: _Rules
) -> SkillName:
    """Return the best skill, or a near-equal one that also fits and has precedence over it."""
    best = ranked[0]
    while True:
        rivals = [rival for rival in rules.beats(best) if fits[rival].score >= 0]
        if not rivals:
            return best
        best = min(rivals, key=ranked.index)


def _check_width(named: Sequence[tuple[SkillName, Signature]], width: int) -> None:
    for skill, signature in named:
        features = signature.examples.shape[1]
        if features != width:
            raise IntegrityError(
                f"the router signature of `{skill}` has {features} features per text, "
                f"expected {width}",
                hint=f"`skillpm uninstall {skill}`, or ask its author for a pack of this base",
            )


def _settled(
    samples: Sequence[Array], backgrounds: Backgrounds, width: int
) -> tuple[CrossValidated, Flags, Flags]:
    """Cross-validate; return the scores, the backgrounds accepted by each skill, and by all skills.

    Only backgrounds that all skills accept are used in what the skills share.
    """
    shared = np.ones(len(backgrounds.rows), dtype=np.bool_)
    validated = cross_validate(samples, backgrounds.pool(shared, width), backgrounds)
    accepted = accepted_backgrounds(validated, backgrounds)
    sound: Flags = np.asarray(accepted.all(axis=0))
    if sound.all():
        return validated, accepted, shared
    validated = cross_validate(samples, backgrounds.pool(sound, width), backgrounds)
    return validated, accepted, sound


def _bases(
    space: Space, backgrounds: Backgrounds, accepted: Flags
) -> tuple[Array, tuple[int, ...]]:
    """Return the distinct means that describe the base, and each skill's index among them."""
    if not backgrounds.rows:
        return np.zeros((0, len(space.centre))), (-1,) * len(accepted)
    means = np.stack([space.project(rows).mean(axis=0) for rows in backgrounds.rows])
    patterns, places = np.unique(accepted, axis=0, return_inverse=True)
    shares = patterns * np.array(backgrounds.packs, dtype=np.float64)
    totals = shares.sum(axis=1, keepdims=True)
    bases = (shares / np.maximum(totals, 1)) @ means
    against = [int(place) if totals[place, 0] else -1 for place in places.ravel()]
    return bases, tuple(against)


def _distances(projected: Array, means: Array) -> Array:
    """Return root mean square differences of texts and centres, [n, k]."""
    squares = (projected**2).sum(axis=1)[:, None] - 2 * projected @ means.T + (means**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0) / projected.shape[1]), dtype=np.float64)
