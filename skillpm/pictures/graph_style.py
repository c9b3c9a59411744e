"""The colours, lines and arrows of a graph, for SVG and for matplotlib."""

from dataclasses import dataclass

from skillpm.pictures.layout import Point


@dataclass(frozen=True)
class GraphStroke:
    """A line: its colour, its width in points, and the lengths of dash and gap in points."""

    color: str
    width: float = 1.0
    dash: tuple[float, float] | None = None


ARROW = "#b35900"
FILLS = {"base": "#dbeafe", "named": "#f6f8fa", "required": "#f6f8fa", "ancestor": None}
"""The colour of each kind of box; None for a box that shows the page."""
BORDERS = {
    "base": GraphStroke("#0072b2"),
    "named": GraphStroke("#0072b2", 2),
    "required": GraphStroke("#8c959f"),
    "ancestor": GraphStroke("#8c959f", dash=(4, 3)),
}
LINES = {
    "built on": GraphStroke("#0072b2", 2),
    "requires": GraphStroke(ARROW, 1.5, (6, 4)),
    "derived from": GraphStroke("#8250df", 1.5, (2, 3)),
}


def arrow_head(tip: Point) -> tuple[Point, Point, Point]:
    """The corners of an arrow that points left, at the skill that is required."""
    x, y = tip
    return (x, y), (x + 9, y - 4.5), (x + 9, y + 4.5)
