"""A picture of a transfer: what base, sources and trained models can do."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from skillpm.pictures.draw import safe

_WIDTH = 0.38
_SKILL, _GENERAL = "#2f6db3", "#c9803a"


@dataclass(frozen=True)
class AbilityBar:
    """A model: its share of right held-out items, and of kept general answers, if measured."""

    name: str
    skill: float
    general: float | None = None


def abilities_png(title: str, bars: Sequence[AbilityBar], bar: float) -> bytes:
    """Return two bars for each model as a PNG file, and the general `bar` as a line."""
    figure = Figure(figsize=(max(5.0, 1.5 + 1.1 * len(bars)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(bars))
    axes.bar(
        [place - _WIDTH / 2 for place in places],
        [100 * each.skill for each in bars],
        _WIDTH,
        color=_SKILL,
        label="right held-out items",
    )
    axes.bar(
        [place + _WIDTH / 2 for place in places],
        [100 * (each.general or 0.0) for each in bars],
        _WIDTH,
        color=_GENERAL,
        label="kept general answers",
    )
    axes.axhline(100 * bar, color=_GENERAL, linewidth=0.8, linestyle="--")
    axes.set_xticks(list(places), [safe(each.name) for each in bars])
    axes.set_ylabel("%")
    axes.set_ylim(0, 105)
    axes.set_title(safe(title), fontsize=11)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
