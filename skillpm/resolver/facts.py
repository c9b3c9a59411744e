"""The facts that a proof is based on: requirements, conflicts, bases and missing releases."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from nab_resolver.types import IncompatibilityCause

from skillpm.resolver.deadline import Deadline
from skillpm.resolver.engine import Clause
from skillpm.resolver.positions import bits_of, positions_in
from skillpm.resolver.question import RootRequirement
from skillpm.resolver.rules import BaseSlot, Clash, Rules
from skillpm.resolver.search import Proof
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement

FEW = 2
"""Facts about the same two skills that are shown one by one. More are collapsed into one."""
ALWAYS_READ = 2000
"""Facts that are read even after the deadline."""


@dataclass(frozen=True, slots=True)
class RequestedFact:
    """A root requirement: from the project file or the command line."""

    wanted: RootRequirement


@dataclass(frozen=True, slots=True)
class RequirementFact:
    """Releases of `skill` require all of `others`; with `conflict`, they conflict with them.

    All `others` name the same skill. `more_releases` counts further releases of `skill` that
    require (or conflict with) other versions of it.
    """

    skill: SkillName
    bits: int
    others: tuple[Requirement, ...]
    conflict: bool = False
    more_releases: int = 0


@dataclass(frozen=True, slots=True)
class BaseFact:
    """Releases of `skill` are built for the base `root`."""

    skill: SkillName
    bits: int
    root: Digest


@dataclass(frozen=True, slots=True)
class MissingFact:
    """The releases of `skill` at `bits` cannot be chosen, or `skill` has no release."""

    skill: SkillName
    bits: int


Fact = RequestedFact | RequirementFact | BaseFact | MissingFact


def facts_of(proof: Proof, rules: Rules, deadline: Deadline) -> list[Fact]:
    """The distinct facts of a proof, in the order of the proof.

    Equal facts about several releases become one fact. More than `FEW` facts that differ only in
    versions become one fact. Linear in the proof. After the deadline, the rest is left out.
    """
    facts = (fact for leaf in _leaves(proof.clause) for fact in _facts_of_clause(leaf, rules))
    return _collapsed(_merged(_before_deadline(deadline, facts)))


def _before_deadline(deadline: Deadline, facts: Iterable[Fact]) -> Iterator[Fact]:
    for count, fact in enumerate(facts):
        if count >= ALWAYS_READ and deadline.expired():
            return
        yield fact


def requirements_of(fact: Fact) -> tuple[Requirement, ...]:
    """The requirements that a fact states; empty for a conflict."""
    if isinstance(fact, RequestedFact):
        return (fact.wanted.requirement,)
    return fact.others if isinstance(fact, RequirementFact) and not fact.conflict else ()


def _merged(facts: Iterable[Fact]) -> list[Fact]:
    merged: dict[Fact, Fact] = {}
    for fact in facts:
        key = fact if isinstance(fact, RequestedFact) else replace(fact, bits=0)
        known = merged.setdefault(key, fact)
        if not isinstance(fact, RequestedFact) and not isinstance(known, RequestedFact):
            merged[key] = replace(known, bits=known.bits | fact.bits)
    return list(merged.values())


def _collapsed(facts: list[Fact]) -> list[Fact]:
    """Replace many requirements of one skill on another by that of the newest release."""
    groups: dict[object, list[RequirementFact]] = {}
    for fact in facts:
        if isinstance(fact, RequirementFact):
            groups.setdefault(_group_key(fact), []).append(fact)
    shown: dict[object, Fact] = {}
    for fact in facts:
        group = _group_key(fact) if isinstance(fact, RequirementFact) else None
        similar = groups[group] if group else []
        if len(similar) <= FEW:
            shown[fact] = fact
        elif group not in shown:
            shown[group] = _representative(similar)
    return list(shown.values())


def _group_key(fact: RequirementFact) -> object:
    return (fact.skill, fact.others[0].skill, fact.conflict)


def _representative(similar: list[RequirementFact]) -> RequirementFact:
    newest = max(similar, key=lambda fact: fact.bits)
    all_bits = reduce(or_, (fact.bits for fact in similar))
    return replace(newest, more_releases=len(positions_in(all_bits & ~newest.bits)))


def _leaves(conclusion: Clause) -> Iterator[Clause]:
    """The distinct clauses that are not derived from others, depth first."""
    pending, seen = [conclusion], set[int]()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        causes = [cause for cause in (node.cause_right, node.cause_left) if cause]
        if not causes:
            yield node
        pending.extend(sorted(causes, key=lambda cause: cause.cause_left is not None))


def _facts_of_clause(leaf: Clause, rules: Rules) -> Iterator[Fact]:
    if leaf.cause is IncompatibilityCause.ROOT:
        yield RequestedFact(leaf.origin)
        return
    subject, other = leaf.terms[0], leaf.terms[-1]
    bits, other_bits = bits_of(subject.constraint), bits_of(other.constraint)
    if isinstance(subject.package, BaseSlot):
        raise AssertionError(leaf)  # noqa: TRY004 - a base can always be chosen
    if leaf.cause is IncompatibilityCause.NO_VERSIONS:
        yield MissingFact(subject.package, bits)
    elif isinstance(other.package, BaseSlot):
        yield BaseFact(subject.package, bits, rules.roots[other_bits.bit_length() - 1])
    elif subject is not other and other.is_positive():
        yield from _declared_conflicts(
            rules, Clash(subject.package, bits, other.package, other_bits)
        )
    else:
        yield from _declared_requirements(rules, subject.package, bits, other=other.package)


def _declared_requirements(
    rules: Rules, skill: SkillName, bits: int, *, other: SkillName
) -> Iterator[Fact]:
    release_set = rules.release_sets[skill]
    for position in positions_in(bits & release_set.usable):
        requires = release_set.releases[position].requires
        yield RequirementFact(skill, 1 << position, tuple(r for r in requires if r.skill == other))


def _declared_conflicts(rules: Rules, clash: Clash) -> Iterator[Fact]:
    release_set, other = rules.release_sets[clash.skill], rules.release_sets[clash.other]
    for position in positions_in(clash.bits):
        for conflict in release_set.releases[position].conflicts:
            names_other = conflict.skill == clash.other
            if names_other and other.admitted(conflict.range) & other.usable == clash.other_bits:
                yield RequirementFact(clash.skill, 1 << position, (conflict,), conflict=True)
