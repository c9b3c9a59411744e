"""How well the forecast from manifests alone ranks what merging then costs.

`python -m benchmarks.interference`: about fifteen minutes the first time. Seed 0 chose the
predictor and its constants; the other seeds, with bases and skills of their own, report.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.interference_measure import Row, World, forecast_of, measured, world
from benchmarks.interference_plot import draw
from benchmarks.interference_predictors import PREDICTORS, Exact, meeting, spearman
from benchmarks.interference_skills import FULLS
from benchmarks.table import Table, add_output, publish
from skillpm.spec.forecast import LEVELS, level_of

if TYPE_CHECKING:
    from collections.abc import Iterable

CACHE = Path(__file__).parent / ".cache" / "interference"
PLOT = Path("docs/images/interference.png")
SEEDS = (0, 1, 2)
FORECAST = "**the forecast of `install --dry-run`**"
SECONDS_BETWEEN_LINES = 20.0


class Progress:
    """Lines on stderr, not one per step."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say how far it is, if the last line is long enough ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)


class Found:
    """Rows of all seeds, and what each predictor says of them."""

    def __init__(self, worlds: dict[int, World], rows: list[Row]) -> None:
        self.rows = rows
        exact = {seed: Exact(found) for seed, found in worlds.items()}
        self.rough = [meeting(worlds[row.seed], row) for row in rows]
        self.exact = [exact[row.seed].meeting(row) for row in rows]
        self.forecast = [forecast_of(worlds[row.seed], row) for row in rows]

    def places(self, seed: int, kind: str) -> list[int]:
        """The places of a seed's rows: of `pairs`, of pairs of `full` fine-tunes, or of `sets`."""
        full = {skill.name for skill in FULLS}
        return [
            place
            for place, row in enumerate(self.rows)
            if row.seed == seed
            and (len(row.others) > 1) == (kind == "sets")
            and (kind != "full" or full >= {row.victim, *row.others})
        ]

    def correlation(self, values: list[float], seed: int, kind: str) -> float:
        """Spearman's between these values and the measured losses."""
        places = self.places(seed, kind)
        lost = [self.rows[place].lost for place in places]
        return spearman([values[place] for place in places], lost)


def compared(found: Found, kind: str, title: str) -> Table:
    """Every predictor's rank correlation, by the sketch; and without its error, over seeds 1, 2."""
    counts = [len(found.places(seed, kind)) for seed in SEEDS]
    heads = [f"seed {seed}, n = {count}" for seed, count in zip(SEEDS, counts, strict=True)]
    table = Table(title, ("predictor", *heads, "exact deltas, seeds 1, 2"))
    for name, predict in PREDICTORS.items():
        rough = [predict(one) for one in found.rough]
        exact = [predict(one) for one in found.exact]
        by_seed = [found.correlation(rough, seed, kind) for seed in SEEDS]
        without = [found.correlation(exact, seed, kind) for seed in SEEDS[1:]]
        table.row(name, *map(_figure, by_seed), _figure(sum(without) / len(without)))
    by_seed = [found.correlation(found.forecast, seed, kind) for seed in SEEDS]
    table.row(FORECAST, *map(_figure, by_seed), "")
    return table


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"  # noqa: PLR0124 - no rank where all are equal


def levels(found: Found, kind: str, title: str) -> Table:
    """Forecast level by measured level, over the seeds that chose nothing."""
    words = [*(word for _, word in LEVELS), "high"]
    table = Table(title, ("forecast", *(f"measured {word}" for word in words)))
    places = [place for seed in SEEDS[1:] for place in found.places(seed, kind)]
    counts = Counter(
        (level_of(found.forecast[place]), level_of(max(0.0, found.rows[place].lost)))
        for place in places
    )
    for forecast in words:
        table.row(forecast, *(counts[forecast, word] for word in words))
    return table


def gains(rows: Iterable[Row]) -> Table:
    """What each skill gains alone: without that there is nothing to lose."""
    table = Table("Skills: held-out loss in nats a byte, base → alone", ("skill", *map(str, SEEDS)))
    ends = {(row.seed, row.victim): (row.base, row.alone) for row in rows}
    for name in dict.fromkeys(victim for _, victim in ends):
        cells = [ends[seed, name] for seed in SEEDS]
        table.row(name, *(f"{base:.2f} → {alone:.2f}" for base, alone in cells))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    add_output(parser)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    progress = Progress()
    worlds = {seed: world(asked.cache, seed, progress) for seed in SEEDS}
    rows = [row for one in worlds.values() for row in measured(asked.cache, one, progress)]
    found = Found(worlds, rows)
    publish(gains(rows), asked.append)
    for kind, what in (("pairs", "all pairs"), ("full", "pairs of full fine-tunes"),
                       ("sets", "each of five merged skills")):  # fmt: skip
        publish(compared(found, kind, f"Rank correlation with the loss, {what}"), asked.append)
    publish(levels(found, "pairs", "Levels of pairs, seeds 1 and 2: skills"), asked.append)
    places = [place for seed in SEEDS for place in found.places(seed, "pairs")]
    correlations = {seed: found.correlation(found.forecast, seed, "pairs") for seed in SEEDS}
    draw([(rows[place], found.forecast[place]) for place in places], correlations, asked.plot)


if __name__ == "__main__":
    main()
