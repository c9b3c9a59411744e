"""The figure: forecast of every pair against the measured cost of its merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from skillpm.spec.forecast import LEVELS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.interference.measure import Row


def draw(points: list[tuple[Row, float]], correlations: dict[int, float], path: Path) -> None:
    """One point for each skill of each pair, one colour per seed; dashes mark the level bounds."""
    figure, axes = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    for seed, correlation in correlations.items():
        of = [(forecast, row.lost) for row, forecast in points if row.seed == seed]
        label = f"seed {seed}: {len(of)} points, rank correlation {correlation:.2f}"
        forecasts, losses = zip(*of, strict=True)
        axes.scatter(forecasts, losses, s=12, alpha=0.6, label=label)
    for limit, _ in LEVELS:
        axes.axvline(limit, color="grey", linestyle="--", linewidth=0.6)
        axes.axhline(limit, color="grey", linestyle="--", linewidth=0.6)
    axes.plot((0, 1, 10), (0, 1, 10), color="black", linewidth=0.6)
    axes.set(xlabel="forecast share of the gain that is lost", ylabel="measured share")
    axes.set_xscale("symlog", linthresh=0.02)
    axes.set_yscale("symlog", linthresh=0.05)
    axes.set_title("Interference before download")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
