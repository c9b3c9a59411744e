"""The closure of a relation, compared with powers of the adjacency matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.spec.closure import closure, layer_closure
from skillpm.spec.names import SkillName

_NODES = st.integers(0, 7)
_GRAPHS = st.dictionaries(_NODES, st.lists(_NODES, max_size=4), max_size=8)


@given(_GRAPHS, st.lists(_NODES, max_size=3))
def test_the_closure_is_the_starts_and_their_descendants(
    graph: dict[int, list[int]], starts: list[int]
) -> None:
    steps = np.eye(8, dtype=np.int64)
    for node, after in graph.items():
        steps[node, after] = 1
    walks = np.linalg.matrix_power(steps, 7)  # walks of at most 7 steps; row: from, column: to
    reachable = {node for node in range(8) if walks[starts, node].any()}
    assert closure(starts, lambda node: graph.get(node, [])) == reachable


@given(_GRAPHS, st.lists(_NODES, max_size=3))
def test_each_node_is_asked_for_its_successors_once(
    graph: dict[int, list[int]], starts: list[int]
) -> None:
    asked: list[int] = []

    def successors(node: int) -> list[int]:
        asked.append(node)
        return graph.get(node, [])

    reached = closure(starts, successors)
    assert sorted(asked) == sorted(reached)


def test_an_error_of_the_relation_is_raised() -> None:
    def successors(node: int) -> list[int]:
        raise LookupError(node)

    with pytest.raises(LookupError, match="5"):
        closure([5], successors)


def test_a_skill_is_below_itself_only_in_a_cycle() -> None:
    upper, middle, lowest = (SkillName.parse(f"acme/{name}") for name in ("a", "b", "c"))
    chain = {upper: [middle], middle: [lowest], lowest: list[SkillName]()}
    assert layer_closure(chain) == {
        upper: {middle, lowest},
        middle: {lowest},
        lowest: frozenset(),
    }
    assert layer_closure(chain | {lowest: [upper]})[upper] == {upper, middle, lowest}
