"""Figures of matplotlib without a display, and their files with reproducible bytes."""

import io
import warnings
from collections.abc import Iterable
from math import isfinite
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from skillpm.pictures.formats import Format
from skillpm.pictures.text import printable
from skillpm.spec.manifest import Kind

WIDTH = 6.4
"""Inches. Text of 10 points is still legible when a phone shows the whole width."""
BODY, SMALL, HEAD = 10.0, 9.0, 13.0
"""Sizes of text in points."""
INK, QUIET, FAINT, ACCENT = "#1b1f24", "#57606a", "#d0d7de", "#b3261e"
KIND_COLOURS: dict[Kind, str] = {
    "embedding": "#0072b2",
    "head": "#56b4e9",
    "attention": "#e69f00",
    "mlp": "#009e73",
    "norm": "#cc79a7",
    "other": "#7f7f7f",
}
"""Okabe and Ito's palette, which people with any colour vision can tell apart."""
_DPI = 200
_PIXELS = 16_000
"""The most pixels of a side of a PNG file; larger figures have fewer pixels per inch."""
_TEXT = 80
_DECADES = 30.0
"""Values whose largest is at least this many times the smallest use a logarithmic scale."""
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "skillpm", "pdf.fonttype": 42}


class Sheet:
    """A figure of panels one above the other. All lengths are in inches.

    The panels share their left and right edges. `add` places the next one.
    """

    def __init__(self, height: float, *, width: float = WIDTH) -> None:
        self.figure = Figure(figsize=(width, height))
        FigureCanvasAgg(self.figure)
        self._width, self._height = width, height
        self._top = height

    def title(self, title: str, lines: Iterable[str] = ()) -> None:
        """Write the title of the sheet, and quiet lines below it. All text is untrusted."""
        self._top -= 0.2
        self._write(safe(title, 42), fontsize=HEAD, fontweight="bold", color=INK)
        self._top -= 0.27
        for line in lines:
            self._write(safe(line), fontsize=SMALL + 0.5, color=QUIET)
            self._top -= 0.19

    def note(self, text: str) -> None:
        """Write a line where the next panel would be."""
        self._top -= 0.15
        self._write(safe(text), fontsize=BODY, color=INK)
        self._top -= 0.2

    def add(
        self, height: float, *, above: float, below: float, left: float = 1.05, right: float = 0.3
    ) -> Axes:
        """Add a panel of this height with room above it for its titles, and below for labels."""
        bottom = self._top - above - height
        self._top = bottom - below
        width = self._width - left - right
        box = (
            left / self._width,
            bottom / self._height,
            width / self._width,
            height / self._height,
        )
        return self.figure.add_axes(box)

    def _write(self, text: str, **style: Any) -> None:
        place = 0.15 / self._width, self._top / self._height
        self.figure.text(*place, text, ha="left", va="top", **style)


def figure_file(figure: Figure, kind: Format) -> bytes:
    """Return the figure as a file. Text stays text in SVG and PDF."""
    buffer = io.BytesIO()
    dpi = min(_DPI, _PIXELS / max(figure.get_size_inches()))
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A font lacks some characters of other scripts; a box stands in their place.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=_metadata(kind))
    return buffer.getvalue()


def _metadata(kind: Format) -> dict[str, None]:
    """Return the metadata that would make the bytes differ between runs, each set to None."""
    if kind == "png":
        return {"Software": None}
    return {"Date": None} if kind == "svg" else {"CreationDate": None}


def safe(text: str, limit: int = _TEXT) -> str:
    """Make untrusted text printable, at most `limit` characters long, and free of TeX formulas."""
    return printable(text, limit).replace("$", r"\$")


def is_wide(values: Iterable[float]) -> bool:
    """Whether positive, finite values span more than a decade."""
    spread = [value for value in values if isfinite(value)]
    return bool(spread) and min(spread) > 0 and max(spread) / min(spread) >= _DECADES


def size_unit(largest: float) -> tuple[float, str]:
    """Return the factor and the name of the unit for an axis of bytes."""
    for factor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= factor:
            return factor, name
    return 1.0, "bytes"


def head(axes: Axes, title: str, subtitle: str, *, left: float) -> None:
    """Write the title of a panel, and a line below it that explains it, `left` inches outside."""
    styles: tuple[tuple[str, int, dict[str, Any]], ...] = (
        (title, 21, {"fontsize": BODY, "fontweight": "bold", "color": INK}),
        (subtitle, 7, {"fontsize": SMALL, "color": QUIET}),
    )
    for text, lift, style in styles:
        if not text:
            continue
        axes.annotate(
            safe(text),
            (0, 1),
            (-72 * left, lift),
            xycoords="axes fraction",
            textcoords="offset points",
            annotation_clip=False,
            **style,
        )


def legend(axes: Axes, *, left: float) -> None:
    """Explain the colours in the line below the panel's title, `left` inches outside."""
    shift = left / inches_wide(axes)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-shift, 1.0), ncols=len(KIND_COLOURS), frameon=False,
        fontsize=SMALL, labelcolor=QUIET, handlelength=1.2, columnspacing=1.2, borderpad=0,
        borderaxespad=0.35, handletextpad=0.4,
    )  # fmt: skip


def inches_wide(axes: Axes) -> float:
    """Return the width of a panel in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - a sheet made the panel
    return float(axes.get_position().width * figure.get_size_inches()[0])


def bare(axes: Axes, *, grid: bool = True) -> None:
    """Remove the frame, make the ticks quiet, and draw a light horizontal grid."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=SMALL, colors=QUIET, length=0, which="both")
    axes.set_axisbelow(True)
    if grid:
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.6)
