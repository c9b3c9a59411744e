"""A picture of a transfer: what base, sources and trained models can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skillpm.pictures.canvas import BODY, FAINT, INK, KIND_COLOURS, SMALL, Sheet, bare, legend, safe

_WIDTH = 0.36
_SKILL, _GENERAL = KIND_COLOURS["embedding"], KIND_COLOURS["attention"]
_ROW, _NAME, _LEFT = 0.52, 24, 2.1
"""Inches of a model, characters of its name, and inches of the names."""


@dataclass(frozen=True)
class AbilityBar:
    """A model: its share of right held-out items, and of kept general answers, as measured."""

    name: str
    skill: float | None
    general: float | None = None


def draw_abilities(title: str, bars: Sequence[AbilityBar], least: float) -> Figure:
    """Draw two bars for each model, and the `least` share of general answers as a line."""
    height = _ROW * len(bars)
    sheet = Sheet(height + 1.3)
    sheet.title(title)
    axes = sheet.add(height, above=0.4, below=0.4, left=_LEFT)
    bare(axes, grid=False)
    axes.set(xlim=(0, 112), ylim=(len(bars) - 0.5, -0.5), xticks=range(0, 101, 25))
    axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.6)
    _draw(axes, -_WIDTH / 2, [each.skill for each in bars], _SKILL, "right held-out items, %")
    if any(each.general is not None for each in bars):
        general = [each.general for each in bars]
        _draw(axes, _WIDTH / 2, general, _GENERAL, "kept general answers, %")
        axes.axvline(100 * least, color=INK, linewidth=1, linestyle="--", label="least kept")
    axes.set_yticks(range(len(bars)), [safe(each.name, _NAME) for each in bars])
    axes.tick_params(axis="y", labelsize=BODY, colors=INK)
    legend(axes, left=_LEFT - 0.15)
    return sheet.figure


def _draw(axes: Axes, shift: float, shares: Sequence[float | None], color: str, label: str) -> None:
    """Draw a bar for each share, with its value. A dash stands for one that was not measured."""
    lengths = [nan if share is None else 100 * share for share in shares]
    places = [place + shift for place in range(len(shares))]
    axes.barh(places, lengths, _WIDTH, color=color, label=label)
    for place, share in zip(places, shares, strict=True):
        text = "–" if share is None else f"{100 * share:.3g}"
        axes.text(
            100 * (share or 0) + 1, place, text, fontsize=SMALL, color=INK, va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
