"""Draws the forecast of a merge: the share of its gain that each skill loses to each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from skillpm.pictures.canvas import INK, QUIET, SMALL, Sheet, inches_wide, safe
from skillpm.spec.forecast import Forecast, Level, level_of

LIMIT = 40
"""The most skills that are drawn: those that lose most."""
_CELL, _NAME, _WRITTEN = 0.42, 22, 24
"""Inches of a cell at most, characters of a name, and the most skills whose cells have numbers."""
_RIGHT, _EXTRA = 0.3, 1.3
"""Inches right of the cells, and the cells that the column `all others` takes."""
_WIDTHS = 6.4, 12.0
_FILLS: dict[Level, str] = {
    "none": "#efedf5",
    "low": "#c5c0e0",
    "medium": "#8f84c4",
    "high": "#4a1486",
    "unknown": "#ffffff",
}
"""One hue from light to dark: neither colour vision nor a grey print hides the order."""
_LABELS = {"none": "under 5 %", "low": "under 20 %", "medium": "under 50 %", "high": "50 % or more"}


@dataclass(frozen=True)
class HeatMap:
    """Skills, what each row's skill loses to each column's, and what it loses to all others.

    A share is in units of the skill's gain, and None where the manifests do not determine it. A
    pair that no merge sums, such as a pack and its layers, is missing. `hidden` counts the skills
    that are left out.
    """

    skills: tuple[str, ...]
    lost: Mapping[tuple[str, str], float | None]
    total: Mapping[str, float | None]
    hidden: int = 0

    @classmethod
    def of(cls, forecast: Forecast) -> "HeatMap":
        """Convert a forecast of all pairs; keeps the skills that lose most, by name."""
        lost: dict[tuple[str, str], float | None] = {}
        for pair in forecast.pairs:
            lost[str(pair.a), str(pair.b)] = pair.harm_to_a
            lost[str(pair.b), str(pair.a)] = pair.harm_to_b
        total = {str(skill.skill): skill.harm for skill in forecast.skills}
        worst = sorted(total, key=lambda name: (-(total[name] or 0.0), name))
        return cls(tuple(sorted(worst[:LIMIT])), lost, total, len(worst[LIMIT:]))


def draw_heat(heat: HeatMap) -> Figure:
    """Draw a matrix: each row is a skill that loses, each column the skill that causes the loss."""
    count = len(heat.skills)
    least, most = _WIDTHS
    names = [safe(skill, _NAME) for skill in heat.skills]
    longest = 0.085 * max(10, *map(len, names))
    above, left = longest + 0.25, longest + 0.3
    width = max(least, min(most, left + _RIGHT + _CELL * (count + _EXTRA)))
    cell = min(_CELL, (width - left - _RIGHT) / (count + _EXTRA))
    lines = ["estimated from the manifests: the share of its gain, in percent,"]
    lines.append("that the skill of a row would lose to the skill of a column")
    lines += [f"{heat.hidden} more skills, which lose less, are left out"] if heat.hidden else []
    sheet = Sheet(0.6 + 0.19 * len(lines) + above + cell * count + 0.75, width=width)
    sheet.title("What a merge would cost", lines)
    right = width - left - cell * (count + _EXTRA)
    axes = sheet.add(cell * count, above=above, below=0.75, left=left, right=right)
    axes.set(xlim=(-0.5, count - 0.5 + _EXTRA), ylim=(count - 0.5, -0.5))
    axes.set_xticks([*range(count), count - 1 + _EXTRA], [*names, "all others"], rotation=90)
    axes.set_yticks(range(count), names)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.tick_params(labelsize=SMALL, colors=INK, length=0)
    axes.spines[:].set_visible(False)
    for row, loser in enumerate(heat.skills):
        for column, other in enumerate(heat.skills):
            if (loser, other) in heat.lost:
                _cell(axes, column, row, heat.lost[loser, other], written=count <= _WRITTEN)
        _cell(axes, count - 1 + _EXTRA, row, heat.total[loser], written=count <= _WRITTEN)
    _legend(axes, left - 0.15)
    return sheet.figure


def _cell(axes: Axes, column: float, row: int, share: float | None, *, written: bool) -> None:
    level = level_of(share)
    corner = (column - 0.5, row - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, **_style(level), linewidth=0.8, label=level))
    if written:
        text = "?" if share is None else f"{100 * share:.0f}" if share <= 1 else ">100"
        color = "white" if level == "high" else INK
        axes.text(column, row, text, fontsize=SMALL, color=color, ha="center", va="center")


def _style(level: Level) -> dict[str, Any]:
    edge = "#b0b7bf" if level == "unknown" else "white"
    return {"facecolor": _FILLS[level], "edgecolor": edge}


def _legend(axes: Axes, left: float) -> None:
    """Explain the colours below the matrix, from its left edge to that of the names."""
    marks = [Patch(**_style(level), label=_label(level)) for level in _FILLS]
    axes.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(-left / inches_wide(axes), 0), ncols=3,
        frameon=False, fontsize=SMALL, labelcolor=QUIET, borderpad=0, borderaxespad=1.2,
    )  # fmt: skip


def _label(level: Level) -> str:
    return f"{level}: {_LABELS[level]}" if level in _LABELS else level
