"""Trials: run the probes of a set's skills with a subset of the set, or at other weights."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skillpm.errors import GraftError, ResolutionError
from skillpm.flows.evaluate.answering import Answers, answers_of
from skillpm.flows.evaluate.carried import CarriedProbes, ProbeResult, evaluate
from skillpm.flows.evaluate.measured import exact_subset
from skillpm.flows.evaluate.stage import CandidateEnvironment
from skillpm.flows.locking.lock_check import prune, reachable
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName

Weights = Mapping[SkillName, float]


def remaining(lock: Lockfile, left_out: Iterable[SkillName]) -> frozenset[SkillName]:
    """Return the skills of a lock that neither are left out nor require a skill that is."""
    removed = set(left_out)
    return frozenset(s for s in lock.skills if not reachable(lock.skills, [s]) & removed)


@dataclass
class Trials:
    """Probe results of subsets of a set, each run once. A trial decodes the touched tensors."""

    stage: CandidateEnvironment
    lock: Lockfile
    carried: Mapping[SkillName, CarriedProbes]
    count: int = 0
    _loaded: tuple[str, Answers] | None = None
    _known: dict[tuple[str, SkillName], list[ProbeResult]] = field(default_factory=dict)

    def results(
        self,
        skills: Iterable[SkillName],
        of: Sequence[SkillName] | None = None,
        weights: Weights | None = None,
    ) -> list[ProbeResult]:
        """Return the results of the probes of `of` (by default all) in the subset with `skills`."""
        subset = self._subset(skills, weights)
        probed = [s for s in self.carried if s in subset.skills and (of is None or s in of)]
        return [result for skill in probed for result in self._results_of(subset, skill)]

    def pass_probes(self, skills: Iterable[SkillName], weights: Weights | None = None) -> bool:
        """Whether all probes of the subset pass; stops at the first failure."""
        subset = self._subset(skills, weights)
        probed = (skill for skill in self.carried if skill in subset.skills)
        return all(result.passed for skill in probed for result in self._results_of(subset, skill))

    def fails(
        self, victim: SkillName, skills: Iterable[SkillName], *, exactly: bool = False
    ) -> bool:
        """Whether a probe of one skill fails in a subset, or the subset cannot be composed.

        The subset has the requirements of `skills` too, unless `exactly` is set.
        """
        if victim not in self.carried:
            return False
        try:
            if exactly:
                results = self._results_of(exact_subset(self.lock, frozenset(skills)), victim)
            else:
                results = self.results(skills, [victim])
            return not all(result.passed for result in results)
        except (GraftError, ResolutionError):  # for example, its skills cancel each other
            return True

    def ignoring(self, probes: Collection[tuple[SkillName, str]]) -> "Trials":
        """Return the same trials without some metrics of some skills."""
        if not probes:
            return self
        carried = {
            skill: replace(
                own,
                recorded={m: c for m, c in own.recorded.items() if (skill, m) not in probes},
            )
            for skill, own in self.carried.items()
        }
        known = {
            key: [r for r in results if (r.skill, r.metric) not in probes]
            for key, results in self._known.items()
        }
        kept = {skill: own for skill, own in carried.items() if own.recorded}
        return replace(self, carried=kept, _known=known)

    def _subset(self, skills: Iterable[SkillName], weights: Weights | None) -> Lockfile:
        subset = prune(self.lock, skills)
        return subset.with_weights(weights) if weights else subset

    def _results_of(self, subset: Lockfile, skill: SkillName) -> list[ProbeResult]:
        key = subset.dumps()
        if (key, skill) not in self._known:
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = None
                self._loaded = (key, answers_of(self.stage, subset))
                self.count += 1
            answers, session = self._loaded[1], self.stage.session
            self._known[key, skill] = evaluate(session, answers, self.carried[skill])
        return self._known[key, skill]
