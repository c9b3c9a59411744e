"""Tables and the plot of measured rows."""

from __future__ import annotations

import statistics
from itertools import groupby
from typing import TYPE_CHECKING, Any

from benchmarks.tools.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.peers.results import Row

WANTED = 0.99
"""Share of the gain in the third figure."""
SECOND = {"causal": "token KL", "encoder": "loss gain kept"}
KEPT = {"causal": "gain kept", "encoder": "distance closed"}


def by_family(rows: list[Row]) -> Iterable[tuple[str, list[Row]]]:
    """Rows by kind of fine-tune, sorted."""
    line = sorted(rows, key=lambda row: (row.family, row.seed))
    return ((family, list(members)) for family, members in groupby(line, key=lambda r: r.family))


def spread(values: list[float], form: str) -> str:
    """Mean ± standard deviation; the mean alone for a single value."""
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {format(statistics.stdev(values), form)}" if len(values) > 1 else mean


def second(row: Row) -> float:
    """The second figure of a row: token KL in nats, or the share of the task's loss gain."""
    return row.detail["kl" if row.kind == "causal" else "gain_kept"]


def compared(rows: list[Row], methods: list[str]) -> Iterable[Table]:
    """One table per kind of fine-tune: every method at every budget, mean over seeds."""
    shown = [row for row in rows if not row.budget.startswith("keep")]
    for family, members in by_family(shown):
        kind = members[0].kind
        headings = (
            "method",
            "budget",
            "kB",
            "of bf16 delta",
            KEPT[kind],
            SECOND[kind],
            "seeds",
            "s",
        )
        table = Table(f"{family}: mean ± standard deviation over seeds", headings)
        for method in methods:
            mine = [row for row in members if row.method == method]
            for budget in sorted({row.budget for row in mine}, key=_order):
                some = [row for row in mine if row.budget == budget]
                table.row(
                    method,
                    budget,
                    f"{statistics.mean(row.bytes for row in some) / 1e3:.1f}",
                    f"{statistics.mean(row.bytes / row.dense for row in some):.2%}",
                    spread([row.kept for row in some], ".2%"),
                    spread([second(row) for row in some], ".4f" if kind == "causal" else ".1%"),
                    len(some),
                    f"{statistics.mean(row.seconds for row in some):.0f}",
                )
        yield table


def _order(budget: str) -> float:
    return -99.0 if budget == "own" else -float(budget.removesuffix("x"))


def duel(rows: list[Row]) -> Table:
    """The recipe against `auto`, by fine-tune: the first two figures."""
    headings = (
        "fine-tune",
        "recipe kB",
        "as .skillpack",
        "recipe",
        "its best α",
        "auto 1x",
        "calibrated 1x",
        "calibrated 0.5x",
    )
    table = Table("Share kept, recipe against auto at 1x and 0.5x of its bytes", headings)
    found = {(row.finetune, row.method, row.budget): row for row in rows}
    for name in sorted({row.finetune for row in rows}):
        recipe = found.get((name, "recipe", "own"))
        if recipe is None:
            continue
        cells = []
        for method, budget in (
            ("recipe-alpha", "1x"),
            ("auto", "1x"),
            ("auto-calibrated", "1x"),
            ("auto-calibrated", "0.5x"),
        ):
            row = found.get((name, method, budget))
            mark = "" if row is None or row.kept >= recipe.kept else " (less)"
            cells.append("-" if row is None else f"{row.kept:.2%}{mark}")
        sizes = (f"{size / 1e3:.1f}" for size in (recipe.bytes, recipe.settings["skillpack"]))
        table.row(name, *sizes, f"{recipe.kept:.2%}", *cells)
    return table


def enough(rows: list[Row], methods: list[str]) -> Iterable[Table]:
    """The fewest bytes with which a method kept 99 %, in a search or otherwise."""
    for family, members in by_family(rows):
        title = f"{family}: bytes for {WANTED:.0%} of the {KEPT[members[0].kind]}"
        table = Table(title, ("method", "kB", "of bf16 delta", "kept", "seeds that reach it"))
        for method in methods:
            mine = [row for row in members if row.method == method]
            if not mine:
                continue
            searched = {row.seed for row in mine if row.budget.startswith("keep")}
            seeds = sorted(searched or {row.seed for row in mine})
            best = [least for seed in seeds if (least := _least(mine, seed))]
            count = f"{len(best)} of {len(seeds)}"
            if len(best) < len(seeds):
                table.row(method, "not reached", "-", "-", count)
                continue
            table.row(
                method,
                spread([row.bytes / 1e3 for row in best], ".1f"),
                spread([row.bytes / row.dense for row in best], ".2%"),
                spread([row.kept for row in best], ".2%"),
                count,
            )
        yield table


def _least(rows: list[Row], seed: int) -> Row | None:
    fine = [row for row in rows if row.seed == seed and row.kept >= WANTED]
    return min(fine, key=lambda row: row.bytes, default=None)


def draw(rows: list[Row], methods: list[str], path: Path) -> None:
    """Rate against loss, a panel per kind of fine-tune; dots are seeds, the line is the mean."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    families = list(by_family([row for row in rows if not row.budget.startswith("keep")]))
    wide = min(3, len(families))
    tall = -(-len(families) // wide)
    figure, axes = plt.subplots(tall, wide, figsize=(4.6 * wide, 3.6 * tall), squeeze=False)
    for axis, (family, members) in zip(axes.flat, families, strict=False):
        for number, method in enumerate(methods):
            _line(axis, [row for row in members if row.method == method], method, f"C{number % 10}")
        axis.set(title=family, xlabel="file, % of the bf16 delta", yscale="log")
        axis.set(ylabel=f"1 - {KEPT[members[0].kind]}", xlim=(0, None))
        axis.grid(visible=True, which="both", alpha=0.2)
    for axis in axes.flat[len(families) :]:
        axis.set_axis_off()
    shown = dict(pair for axis in axes.flat for pair in zip(*_labels(axis), strict=True))
    figure.legend(shown.values(), shown.keys(), loc="lower right", ncols=2, fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _labels(axis: Any) -> tuple[list[str], list[Any]]:
    handles, labels = axis.get_legend_handles_labels()
    return labels, handles


def _line(axis: Any, rows: list[Row], method: str, colour: str) -> None:
    if not rows:
        return
    lost = [max(1e-5, 1 - row.kept) for row in rows]
    rates = [100 * row.bytes / row.dense for row in rows]
    axis.plot(rates, lost, "o", color=colour, markersize=3, alpha=0.5)
    points = []
    for budget in {row.budget for row in rows}:
        here = [place for place, row in enumerate(rows) if row.budget == budget]
        means = (statistics.mean(series[place] for place in here) for series in (rates, lost))
        points.append(tuple(means))
    axis.plot(*zip(*sorted(points), strict=True), marker="x", color=colour, label=method)
