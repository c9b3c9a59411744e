"""The figure of `benchmarks.routing.main`: shares over the number of skills."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

Sweep = dict[int, list[dict[str, float]]]
LINES = {
    "right": ("queries to their skill", "o-"),
    "to the base": ("own queries to the base", "s-"),
    "general kept": ("general texts to the base", "^-"),
    "foreign kept": ("foreign texts to the base", "v-"),
}


def draw_router(known: Sweep, blind: Sweep, path: Path) -> None:
    """Two panels, with and without a background; bars are one standard deviation of the seeds."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, known, "with a background of general text")
    _panel(right, blind, "without a background")
    left.set_ylabel("share of texts")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _panel(axes: Axes, found: Sweep, title: str) -> None:
    sizes = sorted(found)
    for key, (label, style) in LINES.items():
        values = [[row[key] for row in found[size]] for size in sizes]
        means = [statistics.mean(one) for one in values]
        spread = [statistics.stdev(one) for one in values]
        axes.errorbar(sizes, means, spread, fmt=style, label=label, capsize=3, markersize=4)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    axes.set_xlabel("skills")
    axes.set_title(title, fontsize=10)
