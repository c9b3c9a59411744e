"""The decision: a pure function of the installed signatures and of one text's features.

It takes all skills' samples at once and keeps no state: a set has one router, whatever was
installed before it, in whatever order; and no skill needs another's data to be learnt. No pack has
more say than another in what is shared, and none in what another skill is (ADR 26).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from skillpm.errors import IntegrityError
from skillpm.routing.fitting import (
    Flags,
    Judged,
    Voices,
    handicaps_of,
    heard_voices,
    judge,
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
    """What one text says for one skill.

    `evidence` is the log-likelihood ratio, in nats, of this skill against none, less the skill's
    handicap where it fits its own examples badly; `threshold` is what the installed skills' own
    examples reach, each judged by the others; `distance` is to the skill's centre, in standard
    deviations a feature. `base` is the evidence that it is one of the texts that the base keeps,
    None where no signature says which those are.
    """

    evidence: float
    threshold: float
    base: float | None
    distance: float

    @property
    def asked(self) -> float:
        """What the evidence must reach."""
        return self.threshold if self.base is None else max(self.threshold, self.base)

    @property
    def score(self) -> float:
        """How far the evidence is above what is asked for; under 0 the skill does not fit."""
        return self.evidence - self.asked


@dataclass(frozen=True)
class Decision:
    """A skill, or None: the base answers. `score` is the best skill's, None where there is none.

    `over` is the near-equal skill with a higher score, which `best` has precedence over.
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
        """Why it came out so, in a sentence."""
        if self.best is None:
            return (
                "no installed skill has a router signature (`skillpm pack --router FILE` makes "
                "one): the base answers"
            )
        fit = self.fits[self.best]
        if self.skill is None:
            close = fit.base is not None and fit.base > fit.threshold
            least = "it being a text of the base's own" if close else "what the examples reach"
            return (
                f"`{self.best}` is nearest, but the evidence for it, {fit.evidence:.2f}, is under "
                f"the {fit.asked:.2f} of {least}: the base answers"
            )
        if self.over is not None:
            return f"`{self.best}` fits, and has precedence over `{self.over}`, a near-equal skill"
        ahead = "" if self.runner_up is None else f", ahead of `{self.runner_up}`"
        return f"`{self.best}` fits best{ahead}, and the evidence is above its threshold"


NOTHING = Decision(None, None, MappingProxyType({}))
"""What there is to decide without candidates."""


@dataclass(frozen=True)
class _Candidates:
    """Who may answer, in a space: the skills, and the base as each of them has to accept it.

    `means` [skills, width] and `handicaps` [skills]; `bases` are the different means that speak
    for the base [bases, width], `against` says which of them against each skill, -1 for none.
    """

    skills: tuple[SkillName, ...]
    means: Array
    handicaps: Array
    bases: Array
    against: tuple[int, ...]


@dataclass(frozen=True)
class _Rules:
    """What a decision keeps to beside the evidence."""

    threshold: float = 0.0
    near: tuple[NearPair, ...] = ()
    ranks: Mapping[SkillName, int] = field(default_factory=dict)

    def beats(self, skill: SkillName) -> list[SkillName]:
        """The near-equal skills that have precedence over this one."""
        pairs = [pair.skills for pair in self.near if skill in pair.skills]
        near = [second if first == skill else first for first, second in pairs]
        return [one for one in near if self.ranks[one] < self.ranks[skill]]


class Router:
    """The router of a set of signatures, all of one base."""

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
        """The router of an installed set over a base that has `width` features of a text.

        Of near-equal skills the one that stands first in `precedence` wins; those that it does
        not name come last, by name. Raises `IntegrityError` for a signature of another width.

        Costs eleven eigenvalue problems of the features' width, whatever the set's size, and
        a product over all samples: under a second. Twice that where a background is refuted.
        """
        if not signatures:
            return cls(None, None, _Rules())
        named = sorted(signatures.items())
        _check_width(named, width)
        skills = tuple(skill for skill, _ in named)
        samples = [signature.examples for _, signature in named]
        voices = Voices.of([signature for _, signature in named])
        judged, heard, everyone = _settled(samples, voices, width)
        space = space_of(samples, voices.pool(everyone, width))
        threshold = threshold_of(judged)
        means = np.stack([space.seen(sample).mean(axis=0) for sample in samples])
        bases, against = _bases(space, voices, heard)
        handicaps = handicaps_of(judged, threshold)
        candidates = _Candidates(skills, means, handicaps, bases, against)
        rules = _Rules(threshold, near_pairs(skills, judged), ranks_of(skills, precedence))
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
        """Features of a text; 0 where there is no candidate."""
        return 0 if self._space is None else len(self._space.centre)

    @property
    def facts(self) -> Mapping[str, str]:
        """What there is to say of the whole: candidates, examples and features."""
        found = {"skills": len(self.skills), "examples": self._examples, "features": self.width}
        return {key: str(value) for key, value in found.items()}

    def decide(self, features: Array) -> list[Decision]:
        """One decision for each text's features, [n, width]; ties go to the first in precedence."""
        if self._space is None or self._candidates is None:
            return [NOTHING] * len(features)
        seen = self._space.seen(np.asarray(features, dtype=np.float64))
        known = self._candidates
        found = evidence(self._space, seen, known.means) - known.handicaps
        away = _distances(seen, known.means)
        # The base has half of the prior, and the skills share the other half.
        base = evidence(self._space, seen, known.bases) + np.log(len(known.skills))
        return [self._decision(found[row], base[row], away[row]) for row in range(len(seen))]

    def _decision(self, found: Array, base: Array, away: Array) -> Decision:
        assert self._candidates is not None  # noqa: S101 - `decide` has seen to it
        known, rules = self._candidates, self._rules
        columns = zip(known.skills, found, known.against, away, strict=True)
        fits = {
            skill: SkillFit(
                float(one), rules.threshold, None if against < 0 else float(base[against]),
                float(distance),
            )
            for skill, one, against, distance in columns
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
    """The best skill; or one that fits too, is near-equal to it, and has precedence over it."""
    best = ranked[0]
    while True:
        rivals = [one for one in rules.beats(best) if fits[one].score >= 0]
        if not rivals:
            return best
        best = min(rivals, key=ranked.index)


def _check_width(named: Sequence[tuple[SkillName, Signature]], width: int) -> None:
    for skill, one in named:
        found = one.examples.shape[1]
        if found != width:
            raise IntegrityError(
                f"the router signature of `{skill}` has {found} features a text, the base {width}",
                hint=f"`skillpm uninstall {skill}`, or ask for a pack that was made with its base",
            )


def _settled(samples: Sequence[Array], voices: Voices, width: int) -> tuple[Judged, Flags, Flags]:
    """Examples as judged, who is heard against whom, and who is heard by all.

    What a background says is left out of all that is shared once a skill's examples refute it.
    """
    everyone = np.ones(len(voices.rows), dtype=np.bool_)
    judged = judge(samples, voices.pool(everyone, width), voices)
    heard = heard_voices(judged, voices)
    sound: Flags = np.asarray(heard.all(axis=0))
    if sound.all():
        return judged, heard, everyone
    judged = judge(samples, voices.pool(sound, width), voices)
    return judged, heard, sound


def _bases(space: Space, voices: Voices, heard: Flags) -> tuple[Array, tuple[int, ...]]:
    """The different means that speak for the base, and which of them against each skill."""
    if not voices.rows:
        return np.zeros((0, len(space.centre))), (-1,) * len(heard)
    means = np.stack([space.seen(rows).mean(axis=0) for rows in voices.rows])
    patterns, places = np.unique(heard, axis=0, return_inverse=True)
    shares = patterns * np.array(voices.packs, dtype=np.float64)
    totals = shares.sum(axis=1, keepdims=True)
    bases = (shares / np.maximum(totals, 1)) @ means
    against = [int(place) if totals[place, 0] else -1 for place in places.ravel()]
    return bases, tuple(against)


def _distances(seen: Array, means: Array) -> Array:
    """Root mean square differences of texts and centres, [n, k]."""
    squares = (seen**2).sum(axis=1)[:, None] - 2 * seen @ means.T + (means**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0) / seen.shape[1]), dtype=np.float64)
