"""The decision: a pure function of the installed signatures and of one text's features.

It takes all skills' samples at once and keeps no state: a set has one router, whatever was
installed before it, in whatever order; and no skill needs another's data to be learnt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from skillpm.errors import IntegrityError
from skillpm.routing.gaussian import Space, evidence, space_of
from skillpm.routing.signature import Array, Signature
from skillpm.spec.names import SkillName

FOLDS = 8
REJECTED = 0.02
"""The share of a skill's own texts that may be sent to the base, where it has examples enough."""


@dataclass(frozen=True)
class Fit:
    """What one text says for one skill.

    `evidence` is the log-likelihood ratio, in nats, of this skill against none; `threshold` is
    what the installed skills' own examples reach, each judged by the others; `distance` is to the
    skill's centre, in standard deviations a feature. `base` is the evidence that it is one of the
    texts that the base keeps, None where no signature says which those are.
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
    """A skill, or None: the base answers. `score` is the best skill's, None where there is none."""

    skill: SkillName | None
    score: float | None
    fits: Mapping[SkillName, Fit]
    best: SkillName | None = None
    runner_up: SkillName | None = None

    @property
    def scores(self) -> Mapping[SkillName, float]:
        """The score of each candidate."""
        return {skill: fit.score for skill, fit in self.fits.items()}

    @property
    def reason(self) -> str:
        """Why it came out so, in a sentence."""
        if self.best is None:
            return "no installed skill has a router signature: the base answers"
        fit = self.fits[self.best]
        if self.skill is None:
            close = fit.base is not None and fit.base > fit.threshold
            least = "it being a text of the base's own" if close else "what the examples reach"
            return (
                f"`{self.best}` is nearest, but the evidence for it, {fit.evidence:.2f}, is under "
                f"the {fit.asked:.2f} of {least}: the base answers"
            )
        ahead = "" if self.runner_up is None else f", ahead of `{self.runner_up}`"
        return f"`{self.best}` fits best{ahead}, and the evidence is above its threshold"


NOTHING = Decision(None, None, MappingProxyType({}))
"""What there is to decide without candidates."""


@dataclass(frozen=True)
class _Candidate:
    """Who may answer: a skill or the base, by the mean of so many examples in the space."""

    mean: Array
    count: int

    @classmethod
    def of(cls, space: Space, sample: Array) -> "_Candidate":
        """The candidate that showed these examples, [n, width]."""
        return cls(space.seen(sample).mean(axis=0), len(sample))

    def evidence(self, space: Space, seen: Array) -> Array:
        """The evidence for it of texts in the space, [n]."""
        return evidence(space, seen, self.mean, self.count)


class Router:
    """The router of a set of signatures, all of one base."""

    def __init__(
        self,
        space: Space | None,
        candidates: Mapping[SkillName, _Candidate],
        threshold: float = 0.0,
        base: _Candidate | None = None,
    ) -> None:
        self._space = space
        self._base = base
        self._candidates = candidates
        self._threshold = threshold

    @classmethod
    def of(cls, signatures: Mapping[SkillName, Signature], width: int) -> "Router":
        """The router of an installed set over a base that has `width` features of a text.

        Raises `IntegrityError` for a signature that has another number of them.

        Costs `FOLDS` + 1 eigenvalue problems of the features' width, whatever the set's size, and
        a product over all samples: under a second.
        """
        if not signatures:
            return cls(None, {})
        named = sorted(signatures.items())
        _check_width(named, width)
        samples = [signature.examples for _, signature in named]
        background = _distinct([signature.background for _, signature in named])
        space = space_of(samples, background)
        threshold = _threshold(_cross_fitted(samples, background))
        candidates = {
            skill: _Candidate.of(space, sample)
            for (skill, _), sample in zip(named, samples, strict=True)
        }
        base = _Candidate.of(space, background) if len(background) else None
        return cls(space, candidates, threshold, base)

    @property
    def skills(self) -> tuple[SkillName, ...]:
        """The candidates, sorted."""
        return tuple(self._candidates)

    @property
    def width(self) -> int:
        """Features of a text; 0 where there is no candidate."""
        return 0 if self._space is None else len(self._space.centre)

    @property
    def facts(self) -> Mapping[str, str]:
        """What there is to say of the whole: candidates, examples and features."""
        examples = sum(one.count for one in self._candidates.values())
        found = {"skills": len(self._candidates), "examples": examples, "features": self.width}
        return {key: str(value) for key, value in found.items()}

    def decide(self, features: Array) -> list[Decision]:
        """One decision for each text's features, [n, width]; ties go to the first name."""
        if self._space is None:
            return [NOTHING] * len(features)
        seen = self._space.seen(np.asarray(features, dtype=np.float64))
        columns = {
            skill: (one.evidence(self._space, seen), _distance(seen, one.mean))
            for skill, one in self._candidates.items()
        }
        # The base has half of the prior, and the skills share the other half.
        prior = np.log(len(self._candidates))
        own = None if self._base is None else self._base.evidence(self._space, seen) + prior
        return [
            self._decision(columns, None if own is None else float(own[row]), row)
            for row in range(len(seen))
        ]

    def _decision(
        self, columns: Mapping[SkillName, tuple[Array, Array]], base: float | None, row: int
    ) -> Decision:
        fits = {
            skill: Fit(float(found[row]), self._threshold, base, float(away[row]))
            for skill, (found, away) in columns.items()
        }
        ranked = sorted(fits, key=lambda skill: (-fits[skill].score, skill))
        best = ranked[0]
        return Decision(
            skill=best if fits[best].score >= 0 else None,
            score=fits[best].score,
            fits=MappingProxyType(fits),
            best=best,
            runner_up=ranked[1] if len(ranked) > 1 else None,
        )


def _check_width(named: Sequence[tuple[SkillName, Signature]], width: int) -> None:
    for skill, one in named:
        found = one.examples.shape[1]
        if found != width:
            raise IntegrityError(
                f"the router signature of `{skill}` has {found} features a text, the base {width}",
                hint=f"`skillpm uninstall {skill}`, or ask for a pack that was made with its base",
            )


def _distinct(backgrounds: Sequence[Array]) -> Array:
    """All rows of all backgrounds, each once: what many packs know of the base counts once."""
    return np.unique(np.concatenate(backgrounds), axis=0)


def _cross_fitted(samples: Sequence[Array], background: Array) -> list[Array]:
    """The evidence of each example for its own skill, in a space that has not seen it.

    As many spaces as `FOLDS`, each without one example in so many of every skill (Barber et al.
    2021: cross-validation gives conformal thresholds without a sample put by for it).
    """
    found = [np.zeros(len(one)) for one in samples]
    for fold in range(FOLDS):
        kept = [np.arange(len(one)) % FOLDS != fold for one in samples]
        rest = background[np.arange(len(background)) % FOLDS != fold]
        space = space_of([one[keep] for one, keep in zip(samples, kept, strict=True)], rest)
        for own, one, keep in zip(found, samples, kept, strict=True):
            seen = space.seen(one)
            own[~keep] = evidence(space, seen[~keep], seen[keep].mean(axis=0), int(keep.sum()))
    return found


def _threshold(reached: Sequence[Array]) -> float:
    """The conformal threshold: a new text of some skill is under it with a chance of `REJECTED`.

    Or of 1/(n + 1) where n examples cannot tell less. Evidence is in nats for every skill, so that
    one threshold serves all: each skill's own would rest on its one or two strangest examples.
    """
    own = np.sort(np.concatenate(reached))
    return float(own[max(0, int(REJECTED * (len(own) + 1)) - 1)])


def _distance(seen: Array, mean: Array) -> Array:
    return np.asarray(np.sqrt(np.square(seen - mean).mean(axis=1)), dtype=np.float64)
