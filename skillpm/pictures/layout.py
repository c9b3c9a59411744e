"""Places the boxes and lines of a graph, in pixels, for SVG and for matplotlib alike."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from skillpm.pictures.graph import Edge, Graph, Node
from skillpm.pictures.ranks import Key, columns_of, paths_of, ranks_of
from skillpm.pictures.text import cells, printable

NAME_SIZE, DETAIL_SIZE, TITLE_SIZE = 14.0, 12.0, 16.0
"""Sizes of text."""
CHARACTER = 0.602
"""The width of a character of a monospaced font, as a share of the size of the text."""
HEIGHT = 46.0
LEGEND = 24.0
_PADDING, _GAP, _BETWEEN, _MARGIN, _TOP = 12.0, 14.0, 46.0, 16.0, 56.0
_PASSING = 16.0
"""The height of a waypoint."""
_NAME, _DETAIL, _TITLE = 30, 34, 60
"""The most characters of the lines of a box, and of the title."""

Point = tuple[float, float]


@dataclass(frozen=True)
class NodeBox:
    """A node and its rectangle. `lines` are its texts as they are drawn."""

    node: Node
    lines: tuple[str, str]
    left: float
    top: float
    width: float

    @property
    def middle(self) -> float:
        """The height of its middle."""
        return self.top + HEIGHT / 2


@dataclass(frozen=True)
class Line:
    """An edge and its points, from the lower to the upper end. Bends lie between two points."""

    edge: Edge
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Drawing:
    """A laid out graph, the lower right corner of the picture, and the kinds of its edges."""

    title: str
    width: float
    height: float
    boxes: tuple[NodeBox, ...]
    lines: tuple[Line, ...]

    @property
    def kinds(self) -> list[str]:
        """The kinds of edges that occur, for the legend."""
        return sorted({line.edge.kind for line in self.lines})


def arrange(graph: Graph) -> Drawing:
    """Lay a graph out. Costs a few sorts of nodes and waypoints; the result is deterministic."""
    ranks = ranks_of(graph)
    paths = paths_of(graph, ranks)
    columns = columns_of(ranks, paths)
    texts = {node.key: _lines(node) for node in graph.nodes}
    lefts, widths = _horizontal(columns, texts)
    middles = _vertical(columns, paths)
    boxes = {
        node.key: NodeBox(
            node,
            texts[node.key],
            lefts[ranks[node.key]],
            middles[node.key] - HEIGHT / 2,
            widths[ranks[node.key]],
        )
        for node in graph.nodes
    }
    lines = tuple(
        Line(edge, tuple(_points(path, boxes, middles, lefts, widths)))
        for edge, path in zip(graph.edges, paths, strict=True)
    )
    title = printable(graph.title, _TITLE)
    longest = max(len(title) * TITLE_SIZE * CHARACTER, 330.0)
    right = max([left + width for left, width in zip(lefts, widths, strict=True)] or [0.0])
    bottom = max((box.top + HEIGHT for box in boxes.values()), default=_TOP)
    height = bottom + _MARGIN + LEGEND
    return Drawing(title, max(right, longest) + _MARGIN, height, tuple(boxes.values()), lines)


def _lines(node: Node) -> tuple[str, str]:
    name, detail = node.text
    return printable(name, _NAME), printable(detail, _DETAIL)


def _horizontal(
    columns: Sequence[Sequence[Key]], texts: Mapping[str, tuple[str, str]]
) -> tuple[list[float], list[float]]:
    """Return the left edge and the width of each column, which its longest text decides."""
    lefts: list[float] = []
    widths: list[float] = []
    left = _MARGIN
    for column in columns:
        longest = 0.0
        for key in column:
            if isinstance(key, str):
                name, detail = texts[key]
                longest = max(longest, cells(name) * NAME_SIZE, cells(detail) * DETAIL_SIZE)
        lefts.append(left)
        widths.append(longest * CHARACTER + 2 * _PADDING)
        left += widths[-1] + _BETWEEN
    return lefts, widths


def _vertical(columns: Sequence[Sequence[Key]], paths: Sequence[Sequence[Key]]) -> dict[Key, float]:
    """Return the height of each node's and waypoint's middle: near its neighbours', not closer.

    A column is placed twice, pushed down and pushed up. The mean of both keeps all distances.
    """
    left_of: dict[Key, list[Key]] = defaultdict(list)
    for path in paths:
        for lower, upper in pairwise(path):
            left_of[upper].append(lower)
    middles: dict[Key, float] = {}
    for column in columns:
        halves = [_half(key) for key in column]
        stacked = _pushed([0.0] * len(column), halves)
        centre = (stacked[0] + stacked[-1]) / 2 if stacked else 0.0
        goals = [
            _mean([middles[other] for other in left_of[key] if other in middles], place - centre)
            for key, place in zip(column, stacked, strict=True)
        ]
        down = _pushed(goals, halves)
        up = [-place for place in _pushed([-goal for goal in goals[::-1]], halves[::-1])[::-1]]
        for key, low, high in zip(column, down, up, strict=True):
            middles[key] = (low + high) / 2
    least = min((middle - _half(key) for key, middle in middles.items()), default=0.0)
    return {key: middle - least + _TOP for key, middle in middles.items()}


def _half(key: Key) -> float:
    return (HEIGHT if isinstance(key, str) else _PASSING) / 2


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _pushed(goals: Sequence[float], halves: Sequence[float]) -> list[float]:
    """Return places in order, each at its goal or as far beyond as the one before requires."""
    places: list[float] = []
    for number, (goal, half) in enumerate(zip(goals, halves, strict=True)):
        least = places[-1] + halves[number - 1] + half + _GAP if number else goal
        places.append(max(goal, least))
    return places


def _points(
    path: Sequence[Key],
    boxes: Mapping[str, NodeBox],
    middles: Mapping[Key, float],
    lefts: Sequence[float],
    widths: Sequence[float],
) -> list[Point]:
    """Return the points of an edge: the sides of its boxes, and both sides of each waypoint."""
    lower, upper = boxes[str(path[0])], boxes[str(path[-1])]
    points = [(lower.left + lower.width, lower.middle)]
    for key in path[1:-1]:
        left = lefts[int(key[1])]
        points += [(left, middles[key]), (left + widths[int(key[1])], middles[key])]
    points.append((upper.left, upper.middle))
    return points
