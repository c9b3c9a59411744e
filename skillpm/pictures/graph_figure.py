"""Draws a laid out graph by matplotlib, for PNG and PDF, as `graph_svg` writes it."""

from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from skillpm.errors import StateError
from skillpm.pictures.canvas import INK, QUIET, safe
from skillpm.pictures.graph_style import (
    ARROW,
    BORDERS,
    FILLS,
    LINES,
    GraphStroke,
    arrow_head,
)
from skillpm.pictures.layout import (
    CHARACTER,
    DETAIL_SIZE,
    HEIGHT,
    NAME_SIZE,
    TITLE_SIZE,
    Drawing,
    NodeBox,
    Point,
)

_FONT = "DejaVu Sans Mono"
_POINTS = 72
_SIDE = 14_000
"""The longest side in points: the limit of PDF, and the most pixels that can still be read."""
_SHAPES = 3_000


def draw_graph(drawing: Drawing) -> Figure:
    """Return a figure in which a pixel of the drawing is a point.

    Raises `StateError` for a drawing that would take minutes or could not be read.
    """
    shapes = len(drawing.boxes) + sum(len(line.points) - 1 for line in drawing.lines)
    if max(drawing.width, drawing.height) > _SIDE or shapes > _SHAPES:
        raise StateError(
            f"a tree of {len(drawing.boxes)} boxes and {len(drawing.lines)} lines is too large "
            "for a PNG or PDF file; expected the name of an SVG file",
            hint="--plot tree.svg",
        )
    figure = Figure(figsize=(drawing.width / _POINTS, drawing.height / _POINTS))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
    axes.set_axis_off()
    _text(axes, (16, 32), drawing.title, TITLE_SIZE)
    for line in drawing.lines:
        style = _stroke(LINES[line.edge.kind])
        axes.add_patch(PathPatch(_path(line.points), facecolor="none", **style))
        if line.edge.kind == "requires":
            _arrow(axes, line.points[0])
    for box in drawing.boxes:
        _draw_box(axes, box)
    x, y = 16.0, drawing.height - 18
    for kind in drawing.kinds:
        axes.add_patch(PathPatch(Path([(x, y), (x + 26, y)]), **_stroke(LINES[kind])))
        if kind == "requires":
            _arrow(axes, (x, y))
        _text(axes, (x + 32, y + 4), kind, DETAIL_SIZE, color=QUIET)
        x += 32 + (len(kind) + 2) * DETAIL_SIZE * CHARACTER
    return figure


def _draw_box(axes: Axes, box: NodeBox) -> None:
    corner = (box.left, box.top)
    round_ = "round,pad=0,rounding_size=6"
    kind = box.node.kind
    style = {"facecolor": FILLS[kind] or "white", **_stroke(BORDERS[kind])}
    axes.add_patch(FancyBboxPatch(corner, box.width, HEIGHT, boxstyle=round_, **style))
    _text(axes, (box.left + 12, box.top + 19), box.lines[0], NAME_SIZE)
    _text(axes, (box.left + 12, box.top + 36), box.lines[1], DETAIL_SIZE, color=QUIET)


def _stroke(stroke: GraphStroke) -> dict[str, Any]:
    """The style of a line. matplotlib measures dashes in widths of the line."""
    style: dict[str, Any] = {"edgecolor": stroke.color, "linewidth": stroke.width}
    if stroke.dash:
        style["linestyle"] = (0, tuple(round(length / stroke.width, 1) for length in stroke.dash))
    return style


def _path(points: tuple[Point, ...]) -> Path:
    corners, codes = [points[0]], [Path.MOVETO]
    for (x, y), end in pairwise(points):
        bend = (x + end[0]) / 2
        corners += [(bend, y), (bend, end[1]), end]
        codes += [Path.CURVE4] * 3
    return Path(corners, codes)


def _arrow(axes: Axes, tip: Point) -> None:
    axes.add_patch(Polygon(arrow_head(tip), color=ARROW, linewidth=0))


def _text(axes: Axes, place: Point, text: str, size: float, *, color: str = INK) -> None:
    axes.text(*place, safe(text), fontsize=size, color=color, family=_FONT, va="baseline")
