"""resolvelib on the same releases, as a peer of the resolver.

resolvelib has no conflicts and no bases, so both are modelled by artificial packages: two releases
that conflict require different versions of an artificial package, and so do releases of different
bases.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver
from resolvelib.resolvers import ResolutionTooDeep

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from skillpm.resolver.question import Question
    from skillpm.spec.names import SkillName
    from skillpm.spec.release import Release
    from skillpm.spec.requirements import Requirement

ROUNDS = 1_000_000


class OutOfTimeError(Exception):
    """The peer did not finish in time."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `OutOfTimeError` if the block takes longer."""

    def ring(_signal: int, _frame: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True, eq=False)
class Node:
    """A release, or a version of an artificial package."""

    name: str
    place: int
    release: Release | None
    needs: list[Need] = field(default_factory=list)


@dataclass(frozen=True)
class Need:
    """A package, and its nodes that satisfy the requirement."""

    name: str
    places: frozenset[int]


class Graph:
    """All candidates of resolvelib, in order of preference."""

    def __init__(self, question: Question, releases: Collection[Release]) -> None:
        self.nodes: dict[str, list[Node]] = {}
        usable = [
            r for r in releases if not (question.excludes_yanked(r) or question.excludes_base_of(r))
        ]
        by_skill: dict[SkillName, list[Release]] = {}
        for release in usable:
            by_skill.setdefault(release.skill, []).append(release)
        for skill, several in by_skill.items():
            several.sort(key=lambda r: r.version, reverse=not question.lowest)
            ordered = sorted(several, key=lambda r: question.locked.get(r.skill) != r.version)
            self.nodes[str(skill)] = [Node(str(skill), n, r) for n, r in enumerate(ordered)]
        self.roots = [self._need(wanted.requirement) for wanted in question.wanted]
        for node in [node for nodes in self.nodes.values() for node in nodes]:
            assert node.release is not None
            node.needs.extend(self._need(need) for need in node.release.requires)
        self._exclude()
        if question.base is None:
            self._separate_bases()

    def _admitted(self, need: Requirement) -> list[Node]:
        nodes = self.nodes.get(str(need.skill), [])
        return [n for n in nodes if n.release and need.admits(n.release.skill, n.release.version)]

    def _need(self, need: Requirement) -> Need:
        return Need(str(need.skill), frozenset(node.place for node in self._admitted(need)))

    def _exclude(self) -> None:
        numbers = count()
        for nodes in list(self.nodes.values()):
            for node in nodes:
                for conflict in node.release.conflicts if node.release else ():
                    name = f"conflict {next(numbers)}"
                    self.nodes[name] = [Node(name, 0, None), Node(name, 1, None)]
                    node.needs.append(Need(name, frozenset((0,))))
                    rivals = (n for n in self._admitted(conflict) if n.name != node.name)
                    for other in rivals:
                        other.needs.append(Need(name, frozenset((1,))))

    def _separate_bases(self) -> None:
        real = [node for nodes in self.nodes.values() for node in nodes]
        roots = sorted({str(n.release.base) for n in real if n.release and n.release.base})
        for node in real:
            if node.release and node.release.base:
                node.needs.append(Need("base", frozenset((roots.index(str(node.release.base)),))))
        self.nodes["base"] = [Node("base", place, None) for place in range(len(roots))]


class Provider(AbstractProvider):  # type: ignore[type-arg]
    """A graph as a resolvelib provider; causes of the last backtracking are resolved first."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def identify(self, requirement_or_candidate: Node | Need) -> str:
        """The package."""
        return requirement_or_candidate.name

    def get_preference(
        self, identifier: str, resolutions: Any, candidates: Any, information: Any,
        backtrack_causes: Sequence[Any],
    ) -> tuple[bool, str]:  # fmt: skip
        """Causes of the last backtracking first, then by name."""
        del resolutions, candidates, information
        causes = {cause.requirement.name for cause in backtrack_causes}
        return identifier not in causes, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[Node]],
    ) -> Iterable[Node]:
        """The matching nodes, in order of preference."""
        nodes = self._graph.nodes.get(identifier, [])
        bad = {node.place for node in incompatibilities[identifier]}
        needs = [need.places for need in requirements[identifier]]
        return [
            n for n in nodes if n.place not in bad and all(n.place in places for places in needs)
        ]

    def is_satisfied_by(self, requirement: Need, candidate: Node) -> bool:
        """Whether the node satisfies the requirement."""
        return candidate.place in requirement.places

    def get_dependencies(self, candidate: Node) -> list[Need]:
        """The requirements of the node."""
        return candidate.needs


@contextmanager
def _deep_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 10_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def ask_resolvelib(
    question: Question, releases: Collection[Release], seconds: int
) -> dict[SkillName, Release] | None:
    """A solution, or None if resolvelib finds that there is none.

    Raises `OutOfTimeError`, `RecursionError` or `ResolutionTooDeep`.
    """
    with limited(seconds), _deep_recursion():
        graph = Graph(question, releases)
        resolver: Any = Resolver(Provider(graph), BaseReporter())
        try:
            found = resolver.resolve(graph.roots, max_rounds=ROUNDS).mapping.values()
        except ResolutionImpossible:
            return None
    return {node.release.skill: node.release for node in found if node.release}


FAILURES = (OutOfTimeError, RecursionError, ResolutionTooDeep)
