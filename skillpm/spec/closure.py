"""The transitive closure of a relation, such as requirements or the layers of packs."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from skillpm.spec.names import SkillName

Node = TypeVar("Node", bound=Hashable)


def closure(starts: Iterable[Node], successors: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """All nodes that can be reached from `starts`, including these.

    Calls `successors` once for each node and raises its errors. Linear in nodes and edges; cycles
    are allowed.
    """
    reached: set[Node] = set()
    pending = list(starts)
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending.extend(successors(node))
    return reached


def layer_closure(
    over: Mapping[SkillName, Sequence[SkillName]],
) -> dict[SkillName, frozenset[SkillName]]:
    """For each skill, all skills that it is layered on, directly or indirectly."""

    def layers(skill: SkillName) -> Sequence[SkillName]:
        return over.get(skill, ())

    return {skill: frozenset(closure(layers(skill), layers)) for skill in over}
