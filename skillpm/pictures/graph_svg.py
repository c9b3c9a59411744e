"""Writes a laid out graph as SVG, with the standard library alone. Text is escaped by ElementTree.

Colours are attributes, which all viewers know; a style sheet replaces them for a dark scheme. Boxes
and lines have tooltips, and the picture a title and a description for screen readers.
"""

import xml.etree.ElementTree as ET
from itertools import pairwise

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
    Line,
    NodeBox,
    Point,
)
from skillpm.pictures.text import cells, printable

_DARK = """
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9da7b3 }
  .named, .required { fill: #161b22 } .required, .ancestor { stroke: #6e7681 }
  .base { fill: #0c2d4d } .named, .base, .built-on { stroke: #56b4e9 }
  .requires { stroke: #f0a35e } .arrow { fill: #f0a35e } .derived-from { stroke: #c297ff }
}
"""
_FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_INK, _QUIET = "#1b1f24", "#57606a"
_MORE = 400
"""The most characters of a tooltip."""
_STEP = 26.0
"""The length of a line in the legend."""


def svg_of(drawing: Drawing) -> bytes:
    """Return the drawing as an SVG document in UTF-8."""
    width, height = _number(drawing.width), _number(drawing.height)
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "img",
            "font-family": _FONT,
        },
    )
    _title(root, drawing.title)
    names = ", ".join(" ".join(box.lines) for box in drawing.boxes)
    ET.SubElement(root, "desc").text = printable(names, _MORE)
    ET.SubElement(root, "style").text = _DARK
    page = {"width": "100%", "height": "100%", "fill": "#ffffff", "class": "page"}
    ET.SubElement(root, "rect", page)
    _text(root, (16, 32), drawing.title, TITLE_SIZE)
    for line in drawing.lines:
        _draw_line(root, line)
    for box in drawing.boxes:
        _draw_box(root, box)
    _legend(root, drawing)
    ET.indent(root, " ")
    text: str = ET.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _draw_box(root: ET.Element, box: NodeBox) -> None:
    group = ET.SubElement(root, "g")
    _title(group, box.node.more)
    shape = {"x": box.left, "y": box.top, "width": box.width, "height": HEIGHT, "rx": 6.0}
    attributes = {name: _number(value) for name, value in shape.items()}
    kind = box.node.kind
    style = {"fill": FILLS[kind] or "none", **_stroke(BORDERS[kind]), "class": kind}
    ET.SubElement(group, "rect", {**attributes, **style})
    _text(group, (box.left + 12, box.top + 19), box.lines[0], NAME_SIZE)
    _text(group, (box.left + 12, box.top + 36), box.lines[1], DETAIL_SIZE, quiet=True)


def _draw_line(root: ET.Element, line: Line) -> None:
    group = ET.SubElement(root, "g")
    _title(group, line.edge.more)
    ET.SubElement(group, "path", {"d": _path(line.points), **_line(line.edge.kind)})
    if line.edge.kind == "requires":
        _arrow(group, line.points[0])


def _line(kind: str) -> dict[str, str]:
    return {"fill": "none", **_stroke(LINES[kind]), "class": kind.replace(" ", "-")}


def _stroke(stroke: GraphStroke) -> dict[str, str]:
    attributes = {"stroke": stroke.color}
    if stroke.width != 1:
        attributes["stroke-width"] = f"{stroke.width:g}"
    if stroke.dash:
        attributes["stroke-dasharray"] = f"{stroke.dash[0]:g} {stroke.dash[1]:g}"
    return attributes


def _arrow(parent: ET.Element, tip: Point) -> None:
    points = " ".join(f"{_number(left)},{_number(top)}" for left, top in arrow_head(tip))
    ET.SubElement(parent, "polygon", {"points": points, "fill": ARROW, "class": "arrow"})


def _path(points: tuple[Point, ...]) -> str:
    """Return the line as horizontal tangents: a curve between columns, straight across one."""
    parts = [f"M{_pair(points[0])}"]
    for (x, y), end in pairwise(points):
        bend = (x + end[0]) / 2
        parts.append(f"C{_pair((bend, y))} {_pair((bend, end[1]))} {_pair(end)}")
    return " ".join(parts)


def _legend(root: ET.Element, drawing: Drawing) -> None:
    x, y = 16.0, drawing.height - 18
    for kind in drawing.kinds:
        ET.SubElement(root, "path", {"d": f"M{_pair((x, y))} h{_STEP:g}", **_line(kind)})
        if kind == "requires":
            _arrow(root, (x, y))
        _text(root, (x + _STEP + 6, y + 4), kind, DETAIL_SIZE, quiet=True)
        x += _STEP + 6 + (len(kind) + 2) * DETAIL_SIZE * CHARACTER


def _title(parent: ET.Element, text: str) -> None:
    ET.SubElement(parent, "title").text = printable(text, _MORE)


def _text(
    parent: ET.Element, place: tuple[float, float], text: str, size: float, *, quiet: bool = False
) -> None:
    """Write a text with a fixed length, so that no font makes it leave its box."""
    attributes = {
        "x": _number(place[0]),
        "y": _number(place[1]),
        "font-size": f"{size:g}",
        "textLength": _number(cells(text) * size * CHARACTER),
        "lengthAdjust": "spacingAndGlyphs",
        "fill": _QUIET if quiet else _INK,
    }
    if quiet:
        attributes["class"] = "quiet"
    ET.SubElement(parent, "text", attributes).text = text


def _pair(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
