"""Runs PubGrub on the rules of a question.

The answer does not depend on the path of the search. Skills are decided one by one, in the order of
`Rules.rank` among those required so far. Each gets the best release with which a solution still
exists, because PubGrub excludes a release only as a consequence of earlier decisions or of the
rules. The answer is therefore the first in a fixed order. The order of the input and unrelated
releases do not change it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from nab_resolver.errors import ResolutionError as Unsatisfiable
from nab_resolver.errors import ResolutionLimitError
from nab_resolver.resolver import BaseProvider
from nab_resolver.types import (
    Incompatibility,
    IncompatibilityCause,
    RangeProtocol,
    RootRequirement,
    Term,
)

from skillpm.resolver.deadline import Deadline
from skillpm.resolver.engine import Clause, ConflictObserver, Engine
from skillpm.resolver.errors import GaveUpError
from skillpm.resolver.positions import Positions, bits_of
from skillpm.resolver.rules import BaseSlot, Clash, Package, Rank, Rules
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release

Answer = Mapping[SkillName, Release]


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that there is no answer: the contradictory clause, with its derivation."""

    clause: Clause


class Provider(BaseProvider[Package, int]):
    """Answers PubGrub's queries from `Rules`, and stops the search at the deadline."""

    def __init__(self, rules: Rules, deadline: Deadline) -> None:
        self.rules = rules
        self.deadline = deadline
        self._chosen: Mapping[Package, int] = {}
        self._clauses: list[Clause] = []

    def step(self) -> None:
        """Raise `GaveUpError` if the deadline has passed."""
        if self.deadline.expired():
            raise GaveUpError(self.deadline.seconds)

    def choose_version(self, package: Package, version_range: RangeProtocol[int]) -> int | None:
        """The locked release if it is in range, else the best. Queues the conflicts of it."""
        self.step()
        bits = bits_of(version_range)
        if isinstance(package, BaseSlot):
            return bits.bit_length() - 1
        position = self.rules.release_sets[package].best(bits)
        if position is not None:
            self._clauses.extend(map(_clause, self.rules.clashes(package, position)))
        return position

    def has_satisfying_version(self, package: Package, version_range: RangeProtocol[int]) -> bool:
        """Whether any release in range may be chosen."""
        return self.choose_version(package, version_range) is not None

    def get_dependencies(self, package: Package, version: int) -> Mapping[Package, Positions]:
        """The requirements of the release."""
        return {} if isinstance(package, BaseSlot) else self.rules.dependencies(package, version)

    def receive_decision_scan_hint(
        self, positive_ranges: Mapping[Package, object], decisions: Mapping[Package, int]
    ) -> None:
        """Record the releases chosen so far, which `is_ready` uses."""
        del positive_ranges
        self._chosen = decisions

    def is_ready(self, package: Package) -> bool:
        """Whether a chosen release requires the package. Learned clauses alone do not count."""
        return self.rules.is_required(package, self._chosen)

    def prioritize(
        self,
        package: Package,
        version_range: RangeProtocol[int],
        conflict_counts: Mapping[Package, int],
        culprit_counts: Mapping[Package, int] | None = None,
    ) -> Rank:
        """The fixed rank of a package. The history of the search is ignored on purpose."""
        del version_range, conflict_counts, culprit_counts
        return self.rules.rank(package)

    def widen_decision(self, package: Package, version: int) -> Positions | None:
        """Adjacent releases with the same requirements, which fail together."""
        return (
            None if isinstance(package, BaseSlot) else self.rules.interchangeable(package, version)
        )

    def consume_pending_clauses(self) -> list[Clause]:
        """Return the queued conflicts and clear the queue."""
        clauses, self._clauses = self._clauses, []
        return clauses


def search(rules: Rules, deadline: Deadline) -> Answer | Proof:
    """The first answer in the fixed order, or a proof that there is none.

    Raises `GaveUpError` after the deadline.
    """
    result = bounded_search(rules, deadline, rounds=sys.maxsize)
    if result is None:
        raise AssertionError
    return result


def bounded_search(rules: Rules, deadline: Deadline, *, rounds: int) -> Answer | Proof | None:
    """Like `search`, but returns None if `rounds` of PubGrub's loop give no result."""
    provider = Provider(rules, deadline)
    engine = Engine(provider, ConflictObserver(provider.step), max_iterations=rounds)
    try:
        pins = engine.solve(_wanted(rules)).pins
    except ResolutionLimitError:
        return None
    except Unsatisfiable as failure:
        if failure.incompatibility is None:
            raise AssertionError from failure
        return Proof(failure.incompatibility)
    chosen = {skill: position for skill, position in pins.items() if isinstance(skill, SkillName)}
    return {skill: rules.release_sets[skill].releases[chosen[skill]] for skill in sorted(chosen)}


def _wanted(rules: Rules) -> list[RootRequirement[Package, int]]:
    """One clause per root requirement, so that an error can name the origin of each."""
    ordered = sorted(rules.question.wanted, key=lambda w: (str(w.requirement), w.origin))
    return [
        RootRequirement(wanted.requirement.skill, rules.matching(wanted.requirement), wanted)
        for wanted in ordered
    ]


def _clause(clash: Clash) -> Clause:
    """A conflict as a clause. PubGrub treats it as a dependency on the absence of a package."""
    terms: list[Term[Package, int]] = [
        Term(clash.skill, Positions(clash.bits)),
        Term(clash.other, Positions(clash.other_bits)),
    ]
    return Incompatibility(terms, IncompatibilityCause.DEPENDENCY)
