"""Folds chains of requirements in an explanation: `a` → `b` → `c` becomes one fact."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skillpm.resolver.facts import Fact, RequirementFact
from skillpm.spec.names import SkillName

LINKS = 3
"""Requirements of the shortest chain that is folded."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of `links` requirements whose inner skills appear in no other requirement."""

    first: SkillName
    last: SkillName
    links: int


def fold_chains(facts: Sequence[Fact], decisive: int) -> list[Fact | Chain]:
    """The facts, with each chain in place of its first requirement.

    The first `decisive` facts are never folded. Linear in the facts.
    """
    links = [
        fact
        for fact in facts[decisive:]
        if isinstance(fact, RequirementFact) and not fact.conflict and not fact.more_releases
    ]
    chains = {chain[0]: chain for chain in _chains(links)}
    within = {link for chain in chains.values() for link in chain}
    shown: list[Fact | Chain] = list(facts[:decisive])
    for fact in facts[decisive:]:
        if isinstance(fact, RequirementFact) and fact in chains:
            chain = chains[fact]
            shown.append(Chain(fact.skill, chain[-1].others[0].skill, len(chain)))
        elif fact not in within:
            shown.append(fact)
    return shown


def _chains(links: Sequence[RequirementFact]) -> Iterator[list[RequirementFact]]:
    """Every maximal chain of `LINKS` or more requirements. A cycle is not a chain."""
    requirements_by_skill: dict[SkillName, list[RequirementFact]] = defaultdict(list)
    requiring_count: dict[SkillName, int] = defaultdict(int)
    for link in links:
        requirements_by_skill[link.skill].append(link)
        requiring_count[link.others[0].skill] += 1

    def passes(skill: SkillName) -> bool:
        return len(requirements_by_skill.get(skill, ())) == 1 and requiring_count.get(skill, 0) == 1

    for link in links:
        if passes(link.skill):
            continue
        chain = [link]
        while passes(chain[-1].others[0].skill):
            chain.append(requirements_by_skill[chain[-1].others[0].skill][0])
        if len(chain) >= LINKS:
            yield chain
