"""A picture of a transfer: what base, sources and trained models can do."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from skillpm.pictures.draw import safe

_WIDTH = 0.38
_SKILL, _GENERAL = "#2f6db3", "#c9803a"


@dataclass(frozen=True)
class AbilityBar:
    """A model: its share of right held-out items, and of kept general answers, as measured."""

    name: str
    skill: float | None
    general: float | None = None


def abilities_png(title: str, bars: Sequence[AbilityBar], bar: float) -> bytes:
    """Return two bars for each model as a PNG file, and the general `bar` as a line."""
    figure = Figure(figsize=(max(5.0, 1.5 + 1.1 * len(bars)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(bars))
    _draw(axes, -_WIDTH / 2, [each.skill for each in bars], _SKILL, "right held-out items")
    _draw(axes, _WIDTH / 2, [each.general for each in bars], _GENERAL, "kept general answers")
    axes.axhline(100 * bar, color=_GENERAL, linewidth=0.8, linestyle="--")
    axes.set_xticks(list(places), [safe(each.name) for each in bars])
    axes.set_ylabel("%")
    axes.set_ylim(0, 105)
    axes.set_title(safe(title), fontsize=11)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Axes, shift: float, shares: Sequence[float | None], color: str, label: str) -> None:
    """Draw a bar for each share, beside its model. A dash stands for one that was not measured."""
    heights = [math.nan if share is None else 100 * share for share in shares]
    axes.bar(
        [place + shift for place in range(len(shares))], heights, _WIDTH, color=color, label=label
    )
    for place, share in enumerate(shares):
        if share is None:
            axes.text(place + shift, 1, "–", color=color, ha="center", va="bottom")
