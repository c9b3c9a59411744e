"""Trials: what the probes of a set's skills give with some of the set, or at other weights."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skillpm.errors import GraftError, ResolutionError
from skillpm.flows.evaluate.answering import Answers, answers_of
from skillpm.flows.evaluate.carried import CarriedProbes, ProbeResult, evaluate
from skillpm.flows.evaluate.measured import part_of
from skillpm.flows.evaluate.stage import CandidateEnvironment
from skillpm.flows.locking.lock_check import prune, reachable
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName

Weights = Mapping[SkillName, float]


def weighed(lock: Lockfile, weights: Weights) -> Lockfile:
    """The lock with these skills at these weights."""
    skills = [
        one.model_copy(update={"weight": weights.get(one.skill, one.weight)}) for one in lock.skill
    ]
    return lock.model_copy(update={"skill": skills}).with_root(None)


def without(lock: Lockfile, left_out: Iterable[SkillName]) -> frozenset[SkillName]:
    """What stays of a lock when these go, and with them whatever requires them."""
    gone = set(left_out)
    return frozenset(s for s in lock.skills if not reachable(lock.skills, [s]) & gone)


@dataclass
class Trials:
    """Parts of a set, each tried once. Every trial is a decode of what the part touches."""

    stage: CandidateEnvironment
    lock: Lockfile
    carried: Mapping[SkillName, CarriedProbes]
    count: int = 0
    _standing: tuple[str, Answers] | None = None
    _known: dict[tuple[str, SkillName], list[ProbeResult]] = field(default_factory=dict)

    def results(
        self,
        skills: Iterable[SkillName],
        of: Sequence[SkillName] | None = None,
        weights: Weights | None = None,
    ) -> list[ProbeResult]:
        """The results of these skills' probes, of all by default, in the part with these skills."""
        part = self._part(skills, weights)
        asked = [s for s in self.carried if s in part.skills and (of is None or s in of)]
        return [result for skill in asked for result in self._of(part, skill)]

    def hold(self, skills: Iterable[SkillName], weights: Weights | None = None) -> bool:
        """Whether all probes of the part with these hold; the first that fails ends the trial."""
        part = self._part(skills, weights)
        asked = (skill for skill in self.carried if skill in part.skills)
        return all(result.passed for skill in asked for result in self._of(part, skill))

    def fails(
        self, victim: SkillName, skills: Iterable[SkillName], *, exactly: bool = False
    ) -> bool:
        """Whether any probe of one skill fails in the part with these, or there is no such part.

        With what they require, or `exactly` these.
        """
        if victim not in self.carried:
            return False
        try:
            if exactly:
                found = self._of(part_of(self.lock, frozenset(skills)), victim)
            else:
                found = self.results(skills, [victim])
            return not all(one.passed for one in found)
        except (GraftError, ResolutionError):  # skills of it undo each other, say
            return True

    def ignoring(self, probes: Collection[tuple[SkillName, str]]) -> "Trials":
        """The same trials, but for some metrics of some skills, which count no more."""
        if not probes:
            return self
        carried = {
            skill: replace(
                each,
                recorded={m: c for m, c in each.recorded.items() if (skill, m) not in probes},
            )
            for skill, each in self.carried.items()
        }
        known = {
            key: [one for one in results if (one.skill, one.metric) not in probes]
            for key, results in self._known.items()
        }
        kept = {skill: each for skill, each in carried.items() if each.recorded}
        return replace(self, carried=kept, _known=known)

    def _part(self, skills: Iterable[SkillName], weights: Weights | None) -> Lockfile:
        part = prune(self.lock, skills)
        return weighed(part, weights) if weights else part

    def _of(self, part: Lockfile, skill: SkillName) -> list[ProbeResult]:
        key = part.dumps()
        if (key, skill) not in self._known:
            if self._standing is None or self._standing[0] != key:
                self._standing = None
                self._standing = (key, answers_of(self.stage, part))
                self.count += 1
            answers, session = self._standing[1], self.stage.session
            self._known[key, skill] = evaluate(session, answers, self.carried[skill])
        return self._known[key, skill]
