"""Draws pictures by matplotlib's Agg backend: no display, no global state, reproducible bytes."""

import io
from collections.abc import Iterable
from math import ceil, nan

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skillpm.pictures.parts import Cells, Column, Curve, Picture

_DECADES = 30.0
"""Values whose largest is at least this many times the smallest use a logarithmic scale."""
_LABELLED = 26
"""The most layers that have a number under them."""
_WRITTEN = 14
"""The most columns for which every cell shows its value."""
_TITLE = 110
"""The most characters of a text."""
_DARK = 0.55
"""The luminance below which text is white."""
_WHOLE = 100
"""Values from this on are written without decimals."""
_MEGA = 10_000_000
"""Bytes from this on are shown in MB."""
_ABSENT = "#d8d8d8"


def png(picture: Picture) -> bytes:
    """Return the picture as a PNG file."""
    buffer = io.BytesIO()
    figure = draw(picture)
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def draw(picture: Picture) -> Figure:
    """Draw three panels, one above the other: bytes, relative error, rate-distortion curve."""
    width = min(20.0, max(9.0, 5.0 + 0.14 * len(picture.columns)))
    figure = Figure(figsize=(width, 10.0), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(safe(picture.title), fontsize=12)
    rows = len(picture.kinds)
    heights = [rows + 2, rows + 2, 8]
    above, middle, below = figure.subplots(3, 1, height_ratios=heights)
    largest = max((cell or 0.0 for row in picture.bytes for cell in row), default=0.0)
    scale, unit = _unit(largest)
    sizes = _divided(picture.bytes, scale)
    _heat(above, picture, sizes, unit, "0 bytes")
    above.set_title(safe(picture.bytes_title), fontsize=10, loc="left")
    _heat(middle, picture, picture.errors, "‖Δ-Δ̂‖/‖Δ‖", "exact")
    middle.set_title(safe(picture.errors_title), fontsize=10, loc="left")
    middle.set_xlabel(safe(_stacks(picture.columns)))
    _curve(below, picture.curve)
    return figure


def safe(text: str) -> str:
    """Make untrusted text printable, short, and free of TeX formulas."""
    plain = ascii(text)[1:-1] if not text.isprintable() else text
    plain = plain if len(plain) <= _TITLE else plain[: _TITLE - 1] + "…"
    return plain.replace("$", r"\$")


def is_wide(values: Iterable[float]) -> bool:
    """Whether positive values span more than a decade."""
    spread = list(values)
    return bool(spread) and min(spread) > 0 and max(spread) / min(spread) >= _DECADES


def _unit(largest: float) -> tuple[float, str]:
    return (1e6, "MB") if largest >= _MEGA else (1e3, "kB")


def _divided(cells: Cells, by: float) -> Cells:
    return tuple(tuple(None if cell is None else cell / by for cell in row) for row in cells)


def _heat(axes: Axes, picture: Picture, cells: Cells, unit: str, nothing: str) -> None:
    """Draw a heat map [kinds, columns]; no tensor is grey, and a cell of zero is white."""
    known = [cell for row in cells for cell in row if cell]
    norm = (
        LogNorm(min(known), max(known)) if is_wide(known) else Normalize(0, max(known, default=1))
    )
    values = [[cell or nan for cell in row] for row in cells]
    axes.set_facecolor(_ABSENT)
    image = axes.imshow(values, cmap="viridis", norm=norm, aspect="auto", interpolation="nearest")
    empty = [[1.0 if cell == 0 else nan for cell in row] for row in cells]
    axes.imshow(empty, cmap=ListedColormap(["white"]), aspect="auto", interpolation="nearest")
    assert axes.figure is not None  # noqa: S101 - for the type checker
    axes.figure.colorbar(image, ax=axes, pad=0.01, label=unit)
    axes.set_yticks(range(len(picture.kinds)), picture.kinds)
    ticks = _ticks(picture.columns)
    axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks], fontsize=8)
    for label, (_, text) in zip(axes.get_xticklabels(), ticks, strict=True):
        label.set_rotation(90 if len(text) > 3 else 0)  # noqa: PLR2004 - as wide as a column
    for place in _borders(picture.columns):
        axes.axvline(place, color="black", linewidth=0.8)
    marks = [Patch(facecolor="white", edgecolor="grey", label=nothing)]
    marks.append(Patch(facecolor=_ABSENT, edgecolor="grey", label="no tensor"))
    axes.legend(handles=marks, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=7)
    if len(picture.columns) <= _WRITTEN:
        _write_cells(axes, cells, norm, image.get_cmap())


def _write_cells(axes: Axes, cells: Cells, norm: Normalize, colours: Colormap) -> None:
    for row, cells_of_row in enumerate(cells):
        for column, cell in enumerate(cells_of_row):
            if cell is None:
                continue
            red, green, blue, _ = colours(float(norm(cell))) if cell else (1.0, 1.0, 1.0, 1.0)
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < _DARK
            colour = "white" if dark else "black"
            text = f"{cell:,.0f}" if cell >= _WHOLE else f"{cell:.3g}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _ticks(columns: tuple[Column, ...]) -> list[tuple[int, str]]:
    """Return the positions and numbers of some layers, few enough that labels do not overlap."""
    step = ceil(len(columns) / _LABELLED)
    ticks: list[tuple[int, str]] = []
    within = 0
    for place, column in enumerate(columns):
        first_of_stack = place == 0 or columns[place - 1].stack != column.stack
        within = 0 if first_of_stack else within + 1
        if column.stack is None:
            ticks.append((place, "no layer"))
        elif within % step == 0 and (not ticks or first_of_stack or place - ticks[-1][0] >= step):
            ticks.append((place, safe(column.number)[:6]))
    return _apart(ticks, step)


def _apart(ticks: list[tuple[int, str]], step: int) -> list[tuple[int, str]]:
    """Remove ticks that are too close to the one before."""
    least = max(1, step // 2)
    kept: list[tuple[int, str]] = []
    for tick in ticks:
        if len(kept) < 2 or tick[0] - kept[-1][0] >= least:  # noqa: PLR2004 - the first is upright
            kept.append(tick)
    return kept


def _borders(columns: tuple[Column, ...]) -> list[float]:
    """Return the positions between stacks of layers."""
    places = range(1, len(columns))
    return [place - 0.5 for place in places if columns[place].stack != columns[place - 1].stack]


def _stacks(columns: tuple[Column, ...]) -> str:
    names = dict.fromkeys(column.stack for column in columns if column.stack is not None)
    return f"layer of {' | '.join(name or 'the model' for name in names)}" if names else ""


def _curve(axes: Axes, curve: Curve) -> None:
    scale, unit = _unit(max(size for size, _ in (*curve.points, curve.own)))
    sizes = [size / scale for size, _ in curve.points]
    lost = [loss_at for _, loss_at in curve.points]
    few = len(sizes) <= 2 * _LABELLED
    axes.plot(sizes, lost, color="#31688e", marker="o" if few else "", markersize=3)
    size, loss = curve.own
    label = f"this pack: {size / scale:,.4g} {unit}, {loss:.3g}"
    axes.plot([size / scale], [loss], "*", color="#d1495b", markersize=13, label=label)
    axes.set_xscale("log" if is_wide(sizes) else "linear")
    axes.set_yscale("log" if is_wide(lost) else "linear")
    axes.set_xlabel(f"{curve.spent}, {unit}")
    axes.set_ylabel(safe(curve.lost))
    axes.set_title(safe(curve.title), fontsize=10, loc="left")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="upper right", fontsize=9)
