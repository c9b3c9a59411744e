"""PubGrub at work on our rules.

The answer does not depend on how PubGrub finds it. Skills are settled one by one, in the order of
`Rules.rank` among those that are asked for so far, each at the best release with which an answer
still exists: PubGrub only rules a release out for what was settled before, or for good. So the
answer is the first in a fixed order, and neither the order of the input nor releases that play no
part in it can change it.
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

from skillpm.resolver.engine import Clause, Engine, Watch
from skillpm.resolver.errors import GaveUpError
from skillpm.resolver.patience import Deadline
from skillpm.resolver.positions import Positions, bits_of
from skillpm.resolver.rules import BaseSlot, Clash, Package, Rank, Rules
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release

Answer = Mapping[SkillName, Release]


@dataclass(frozen=True, slots=True)
class Proof:
    """That there is no answer: the clause that rules all_releases out, derived from what holds."""

    clause: Clause


class Provider(BaseProvider[Package, int]):
    """Answers PubGrub's questions out of `Rules`; cut off as soon as time is up."""

    def __init__(self, rules: Rules, deadline: Deadline) -> None:
        self.rules = rules
        self.deadline = deadline
        self._chosen: Mapping[Package, int] = {}
        self._clauses: list[Clause] = []

    def step(self) -> None:
        """Go on with the search. Raises `GaveUpError` when time is up."""
        if self.deadline.expired():
            raise GaveUpError(self.deadline.seconds)

    def choose_version(self, package: Package, version_range: RangeProtocol[int]) -> int | None:
        """The locked release if it is in range, else the best; its conflicts are queued."""
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
        """What the release needs."""
        return {} if isinstance(package, BaseSlot) else self.rules.needs(package, version)

    def receive_decision_scan_hint(
        self, positive_ranges: Mapping[Package, object], decisions: Mapping[Package, int]
    ) -> None:
        """Remember what is chosen so far: `is_ready` goes by it."""
        del positive_ranges
        self._chosen = decisions

    def is_ready(self, package: Package) -> bool:
        """Whether it is the package's turn; one that only a learnt clause brings up waits."""
        return self.rules.reached(package, self._chosen)

    def prioritize(
        self,
        package: Package,
        version_range: RangeProtocol[int],
        conflict_counts: Mapping[Package, int],
        culprit_counts: Mapping[Package, int] | None = None,
    ) -> Rank:
        """The fixed order; how the search went so far is left out on purpose."""
        del version_range, conflict_counts, culprit_counts
        return self.rules.rank(package)

    def widen_decision(self, package: Package, version: int) -> Positions | None:
        """The neighbours that need just the same, so that they fail together."""
        return None if isinstance(package, BaseSlot) else self.rules.alike(package, version)

    def consume_pending_clauses(self) -> list[Clause]:
        """Hand over the conflicts of the release that was chosen last."""
        clauses, self._clauses = self._clauses, []
        return clauses


def search(rules: Rules, deadline: Deadline) -> Answer | Proof:
    """The first answer in the fixed order, or the proof that there is none.

    Only time limits it. Raises `GaveUpError` when that is up.
    """
    found = bounded_search(rules, deadline, rounds=sys.maxsize)
    if found is None:
        raise AssertionError
    return found


def bounded_search(rules: Rules, deadline: Deadline, *, rounds: int) -> Answer | Proof | None:
    """As `search`; None where `rounds` of PubGrub's loop do not settle it."""
    provider = Provider(rules, deadline)
    engine = Engine(provider, Watch(provider.step), max_iterations=rounds)
    try:
        pins = engine.solve(_wanted(rules)).pins
    except ResolutionLimitError:
        return None
    except Unsatisfiable as found:
        if found.incompatibility is None:
            raise AssertionError from found
        return Proof(found.incompatibility)
    chosen = {skill: position for skill, position in pins.items() if isinstance(skill, SkillName)}
    return {skill: rules.release_sets[skill].releases[chosen[skill]] for skill in sorted(chosen)}


def _wanted(rules: Rules) -> list[RootRequirement[Package, int]]:
    """One clause for each requirement, so that a failure can name who asks."""
    ordered = sorted(rules.question.wanted, key=lambda w: (str(w.requirement), w.origin))
    return [
        RootRequirement(wanted.requirement.skill, rules.asked(wanted.requirement), wanted)
        for wanted in ordered
    ]


def _clause(clash: Clash) -> Clause:
    """Two releases that do not go together; PubGrub reads it as a dependency on an absence."""
    terms: list[Term[Package, int]] = [
        Term(clash.skill, Positions(clash.bits)),
        Term(clash.other, Positions(clash.other_bits)),
    ]
    return Incompatibility(terms, IncompatibilityCause.DEPENDENCY)
