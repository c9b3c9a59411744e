"""Draws what a pack stores: by kind of module, by layer, and what other sizes would cost."""

from collections.abc import Sequence
from itertools import chain
from math import nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from skillpm.pictures.canvas import (
    ACCENT,
    BODY,
    INK,
    KIND_COLOURS,
    QUIET,
    SMALL,
    Sheet,
    bare,
    head,
    is_wide,
    legend,
    size_unit,
)
from skillpm.pictures.parts import Curve, KindSummary, LayerTable, Picture
from skillpm.pictures.places import Places
from skillpm.spec.words import counted, size_text

_ROW, _PANEL = 0.27, 1.45
_TITLE, _TOP, _BELOW = 1.0, 0.55, 0.5
"""Inches of the sheet's title, and above and below a panel."""
_MARKED = 48
"""The most layers whose values get a marker."""
_KINDS = tuple(KIND_COLOURS)
_MARKERS = dict(zip(_KINDS, "DPosv^", strict=True))
_LEFT = 0.9
"""Inches from the left edge of a panel to that of its titles."""
_NUMBERS = ((1.3, "bytes"), (1.52, "share"), (1.98, "relative error"))
"""The right edge of each column of numbers, in lengths of the longest bar, and its head."""


def kind_name(kind: str) -> str:
    """Return the name of a kind of module in a picture."""
    return "MLP" if kind == "mlp" else kind


def draw(picture: Picture) -> Figure:
    """Draw panels one above the other: kinds, layers, bits per weight, and the curve of `auto`.

    A panel without content is left out: a pack without layers has two panels less.
    """
    rows = _ROW * len(picture.kinds)
    panels = 2 * bool(picture.layers.columns) + (picture.curve is not None)
    sheet = Sheet(_TITLE + max(rows + _TOP + 0.25, 0.5) + panels * (_PANEL + _TOP + _BELOW))
    sheet.title(picture.title, picture.facts)
    if picture.kinds:
        _kinds(sheet.add(rows, above=_TOP, below=0.25), picture.kinds, lossy=picture.lossy)
    else:
        sheet.note("The pack stores no tensor.")
    if picture.layers.columns:
        places = Places.arrange(picture.layers.columns)
        _bytes(sheet.add(_PANEL, above=_TOP, below=_BELOW), picture.layers, places)
        _bits(sheet.add(_PANEL, above=_TOP, below=_BELOW), picture.layers, places)
    if picture.curve is not None:
        _curve(sheet.add(_PANEL, above=_TOP, below=_BELOW), picture.curve)
    return sheet.figure


def _kinds(axes: Axes, kinds: Sequence[KindSummary], *, lossy: bool) -> None:
    """Draw a bar of bytes for each kind, with its numbers in columns beside it."""
    largest = max(kind.bytes for kind in kinds) or 1
    total = sum(kind.bytes for kind in kinds) or 1
    head(axes, "By kind of module", "", left=_LEFT)
    bare(axes, grid=False)
    axes.spines["bottom"].set_visible(False)
    colours = [KIND_COLOURS[kind.kind] for kind in kinds]
    axes.barh(range(len(kinds)), [kind.bytes / largest for kind in kinds], 0.7, color=colours)
    columns = _NUMBERS if lossy else _NUMBERS[:2]
    axes.set(xlim=(0, columns[-1][0]), ylim=(len(kinds) - 0.5, -0.5), xticks=[], yticks=[])
    style: dict[str, Any] = {"fontsize": SMALL, "ha": "right", "va": "center"}
    for place, text in columns:
        axes.text(place, -0.85, text, color=QUIET, **style)
    for row, kind in enumerate(kinds):
        axes.annotate(
            kind_name(kind.kind), (0, row), (-72 * _LEFT, 0), textcoords="offset points",
            fontsize=BODY, color=INK, va="center", annotation_clip=False,
        )  # fmt: skip
        numbers = (size_text(kind.bytes), _percent(kind.bytes / total), _error(kind.error))
        for (place, _), text in zip(columns, numbers, strict=False):
            axes.text(place, row, text, color=INK, **style)


def _percent(share: float) -> str:
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"  # noqa: PLR2004 - rounds to 0


def _error(error: float | None) -> str:
    if error is None:
        return "unknown"
    return f"{error:.3g}" if error else "exact"


def _bytes(axes: Axes, layers: LayerTable, places: Places) -> None:
    """Draw a bar for each layer, whose segments are the kinds."""
    totals = [sum(cell or 0.0 for cell in column) for column in zip(*layers.bytes, strict=True)]
    scale, unit = size_unit(max(totals))
    counts = f"{size_text(layers.total)} in {counted(len(totals), 'layer')}"
    rest = f"{counts}; {size_text(layers.outside)} in no layer" if layers.outside else counts
    if layers.hidden:
        rest += f"; {size_text(layers.hidden_bytes)} in {counted(layers.hidden, 'smaller stack')}"
    head(axes, f"By layer, {unit}", rest, left=_LEFT)
    bare(axes)
    edges = places.edges()
    base = [0.0] * len(totals)
    for kind, row in zip(_KINDS, layers.bytes, strict=True):
        if any(row):
            top = [low + (cell or 0.0) / scale for low, cell in zip(base, row, strict=True)]
            axes.stairs(
                _apart(top), edges, baseline=_apart(base), fill=True,
                color=KIND_COLOURS[kind], label=kind_name(kind), linewidth=0,
            )  # fmt: skip
            base = top
    axes.set_ylim(0, 1.05 * max(base) or 1)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    places.label(axes)


def _apart(values: Sequence[float]) -> list[float]:
    """Return the values of the bars with a zero between each two, for the gaps."""
    return list(chain.from_iterable((value, 0.0) for value in values))[:-1]


def _bits(axes: Axes, layers: LayerTable, places: Places) -> None:
    """Draw a line for each kind: the stored bits for each weight that changes."""
    head(axes, "Bits stored for each weight", "", left=_LEFT)
    bare(axes)
    known = [cell for row in layers.bits for cell in row if cell is not None]
    axes.set_yscale("log" if is_wide(known) else "linear")
    for kind, row in zip(_KINDS, layers.bits, strict=True):
        if any(cell is not None for cell in row):
            few = len(row) <= _MARKED
            values = [nan if cell is None else cell for cell in row]
            axes.plot(
                *places.broken(values), color=KIND_COLOURS[kind], label=kind_name(kind),
                linewidth=1.6, marker=_MARKERS[kind] if few else "", markersize=3.5,
            )  # fmt: skip
    if axes.get_yscale() == "linear":
        axes.set_ylim(0, 1.08 * max(known, default=0) or 1)
    legend(axes, left=_LEFT)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    places.label(axes)


def _plain(value: float, _: object) -> str:
    return f"{value:g}"


def _curve(axes: Axes, curve: Curve) -> None:
    """Draw the error that remains at other sizes, and a line at the size of this pack."""
    scale, unit = size_unit(max(*(size for size, _ in curve.points), curve.payload))
    sizes = [size / scale for size, _ in curve.points]
    lost = [100 * share for _, share in curve.points]
    head(
        axes,
        "What other sizes would lose",
        "weighted squared error that remains, % of an empty pack's, as auto estimated it",
        left=_LEFT,
    )
    bare(axes)
    axes.plot(sizes, lost, color=KIND_COLOURS["embedding"], marker="o", markersize=3.5)
    own = curve.payload / scale
    axes.axvline(own, color=ACCENT, linewidth=1.2, linestyle="--")
    axes.set_xscale("log" if is_wide([*sizes, own]) else "linear")
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylim(0, 1.25 * max(lost) or 1)
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_xlabel(f"payload, {unit}", fontsize=SMALL, color=QUIET)
    leftmost = axes.transAxes.inverted().transform(axes.transData.transform((own, 0)))[0]
    late = leftmost > 0.5  # noqa: PLR2004 - the label is on the wider side of the line
    axes.annotate(
        f"this pack: {size_text(curve.payload)}", (own, 1), (-4 if late else 4, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points",
        fontsize=SMALL, color=ACCENT, va="top", ha="right" if late else "left",
    )  # fmt: skip
