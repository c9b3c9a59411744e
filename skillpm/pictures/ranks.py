"""Ranks a graph for a picture, from left to right, as Sugiyama does: columns, waypoints, order."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from skillpm.pictures.graph import Graph

Key = str | tuple[int, int]
"""A node's key, or a waypoint: the position of an edge, and a column that it passes."""
_SWEEPS = 6
_WAYPOINTS = 20_000
"""With more waypoints than this, edges are straight and pass behind nodes."""


def ranks_of(graph: Graph) -> dict[str, int]:
    """Return the column of each node: 0 for the base, and right of all its lower nodes.

    An edge that closes a cycle does not count. An ancestor is one column left of its first
    descendant. Linear in nodes and edges.
    """
    above: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        above[edge.lower].append(edge.upper)
    order = _topological([node.key for node in graph.nodes], above)
    position = {key: number for number, key in enumerate(order)}
    lowest = {"base", "ancestor"}
    ranks = {node.key: 0 if node.kind in lowest else 1 for node in graph.nodes}
    for key in order:
        for upper in above[key]:
            if position[upper] > position[key]:
                ranks[upper] = max(ranks[upper], ranks[key] + 1)
    for node in graph.nodes:
        if node.kind == "ancestor" and above[node.key]:
            ranks[node.key] = max(0, min(ranks[upper] for upper in above[node.key]) - 1)
    return ranks


def _topological(keys: Sequence[str], above: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the keys, lower ones first where no cycle prevents it. Uses no recursion."""
    finished: list[str] = []
    seen: set[str] = set()
    for start in keys:
        if start in seen:
            continue
        seen.add(start)
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(above.get(start, ())))]
        while stack:
            key, uppers = stack[-1]
            unseen = next((upper for upper in uppers if upper not in seen), None)
            if unseen is None:
                finished.append(key)
                stack.pop()
            else:
                seen.add(unseen)
                stack.append((unseen, iter(above.get(unseen, ()))))
    return finished[::-1]


def paths_of(graph: Graph, ranks: Mapping[str, int]) -> list[list[Key]]:
    """Return the way of each edge: its lower end, a waypoint in each column between, its upper end.

    An edge that goes left, which closes a cycle, has no waypoints.
    """
    spans = [range(ranks[edge.lower] + 1, ranks[edge.upper]) for edge in graph.edges]
    fits = sum(map(len, spans)) <= _WAYPOINTS
    return [
        [edge.lower, *((number, rank) for rank in (span if fits else ())), edge.upper]
        for number, (edge, span) in enumerate(zip(graph.edges, spans, strict=True))
    ]


def columns_of(ranks: Mapping[str, int], paths: Sequence[Sequence[Key]]) -> list[list[Key]]:
    """Return the nodes and waypoints of each column, in an order with few crossings.

    Sorts each column by the mean position of its neighbours, from left to right and back.
    """
    columns: list[list[Key]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for name, rank in ranks.items():
        columns[rank].append(name)
    neighbours: dict[Key, list[Key]] = defaultdict(list)
    for path in paths:
        for key in path[1:-1]:
            assert isinstance(key, tuple)  # noqa: S101 - only the ends are nodes
            columns[key[1]].append(key)
        for lower, upper in pairwise(path):
            neighbours[lower].append(upper)
            neighbours[upper].append(lower)
    places = {key: place for column in columns for place, key in enumerate(column)}

    def mean(key: Key) -> float:
        near = [places[other] for other in neighbours[key]]
        return sum(near) / len(near) if near else places[key]

    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            column.sort(key=mean)
            places.update((key, place) for place, key in enumerate(column))
    return columns
