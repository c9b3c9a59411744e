"""Accuracy of the forecast from manifests, compared with the measured cost of merging.

`python -m benchmarks.interference` takes about fifteen minutes the first time. The constants of the
forecast were fitted on seed 0; the other seeds, with their own bases and skills, are reported.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.interference.measure import Row, World, forecast_of, measured, world
from benchmarks.interference.plot import draw
from benchmarks.interference.predictors import (
    PREDICTORS,
    UNCALIBRATED,
    Exact,
    meeting,
    spearman,
)
from benchmarks.interference.size import FLOOR, Kind, Ratios, fitted, ratios
from benchmarks.interference.skills import FULLS, SKILLS
from benchmarks.tools.table import Table, add_output, publish
from skillpm.spec.forecast import LEVELS, level_of
from skillpm.spec.harm import BY_GAIN, BY_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CACHE = Path(__file__).parents[1] / ".cache" / "interference"
PLOT = Path("docs/images/interference.png")
SEEDS = (0, 1, 2)
FORECAST = "**the forecast of `install --dry-run`**"
KINDS = {
    "pairs": "all pairs",
    "full": "pairs of full fine-tunes",
    "sets": "each of five merged skills",
    "disjoint": "pairs that share no tensor",
    "half pairs": "all pairs at weight 0.5",
    "half sets": "each of five at weight 0.5",
}
FITTED = ("pairs", "full", "sets")
SECONDS_BETWEEN_LINES = 20.0


class Progress:
    """Lines on stderr; at most one line per interval."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print the progress if the interval since the last line has passed."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)


class Found:
    """Rows of all seeds, and the forecasts of each predictor."""

    def __init__(self, worlds: dict[int, World], rows: list[Row]) -> None:
        self.rows = rows
        exact = {seed: Exact(found) for seed, found in worlds.items()}
        self.rough = [meeting(worlds[row.seed], row) for row in rows]
        self.exact = [exact[row.seed].meeting(row) for row in rows]
        self.forecast = [forecast_of(worlds[row.seed], row) or 0.0 for row in rows]
        self.by_length = [forecast_of(worlds[row.seed], row, gains=False) for row in rows]

    def places(self, seed: int, kind: str) -> list[int]:
        """Indices of a seed's rows of one of `KINDS`."""
        return [
            place
            for place, row in enumerate(self.rows)
            if row.seed == seed and kind in self._kinds(place)
        ]

    def _kinds(self, place: int) -> set[str]:
        row = self.rows[place]
        names = {row.victim, *row.others}
        number = "sets" if len(row.others) > 1 else "pairs"
        if row.weight != 1:
            return {f"half {number}"}
        kinds = {number} if {skill.name for skill in SKILLS} >= names else set()
        kinds |= {"full"} if number == "pairs" and {one.name for one in FULLS} >= names else set()
        return kinds | ({"disjoint"} if self.rough[place].shared == 0 else set())

    def lost(self, seed: int, kind: str) -> list[float]:
        """The measured losses, as shares of the gain, of a seed's rows of one kind."""
        return [self.rows[place].lost for place in self.places(seed, kind)]

    def correlation(self, values: list[float], seed: int, kind: str) -> float:
        """Spearman's correlation between these values and the measured losses."""
        places = self.places(seed, kind)
        return spearman([values[place] for place in places], self.lost(seed, kind))

    def ratios(self, values: Sequence[float | None], seed: int, kind: str) -> Ratios:
        """The ratio of these values to the measured losses."""
        return ratios([values[place] for place in self.places(seed, kind)], self.lost(seed, kind))


def compared(found: Found, kind: str, title: str) -> Table:
    """Rank correlation of each predictor, from sketches; from exact deltas for seeds 1, 2."""
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


def correlations(found: Found) -> Table:
    """The forecast's rank correlation with each kind of merge, with and without gains."""
    heads = [f"{what}, seed {seed}" for what in ("with gains", "without") for seed in SEEDS]
    table = Table("Rank correlation of the forecast with the loss", ("merge", *heads))
    for kind, what in KINDS.items():
        with_gains = [found.correlation(found.forecast, seed, kind) for seed in SEEDS]
        without = [math.nan] * len(SEEDS) if kind == "disjoint" else [
            found.correlation([value or 0.0 for value in found.by_length], seed, kind)
            for seed in SEEDS
        ]  # fmt: skip
        table.row(what, *map(_figure, (*with_gains, *without)))
    return table


def sizes(
    found: Found, values: Sequence[float | None], title: str, kinds: Iterable[str] = KINDS
) -> Table:
    """Median and 10 to 90 % of forecast / measured by kind of merge; rows without a ratio."""
    heads = [f"seed {seed}" for seed in SEEDS]
    table = Table(title, ("merge", *heads, f"under {100 * FLOOR:.0f} %", "unknown", "rows"))
    for kind in kinds:
        by_seed = [found.ratios(values, seed, kind) for seed in SEEDS]
        counts = sum(one.small for one in by_seed), sum(one.unknown for one in by_seed)
        rows = sum(len(found.places(seed, kind)) for seed in SEEDS)
        table.row(KINDS[kind], *map(str, by_seed), *counts, rows)
    return table


def calibration(found: Found) -> Table:
    """The calibration fitted on seed 0, and the calibration in use."""
    head = ("forecast", "factor, fitted", "power, fitted", "factor, used", "power, used")
    table = Table("Calibration: seed 0", head)
    for what, values, law in (("with gains", found.forecast, BY_GAIN),
                              ("without", found.by_length, BY_LENGTH)):  # fmt: skip
        kinds = [Kind([values[place] for place in found.places(SEEDS[0], kind)],
                      found.lost(SEEDS[0], kind)) for kind in FITTED]  # fmt: skip
        fit = fitted(kinds, law)
        table.row(what, f"{fit.factor:.2f}", f"{fit.power:.2f}", law.factor, law.power)
    return table


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"  # noqa: PLR0124 - no rank where all are equal


def levels(found: Found, kind: str, title: str) -> Table:
    """Forecast level by measured level, over the seeds that fitted no constant."""
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
    """Each skill's own gain; a skill without a gain cannot lose anything."""
    table = Table("Skills: held-out loss in nats a byte, base → alone", ("skill", *map(str, SEEDS)))
    ends = {(row.seed, row.victim): (row.base, row.alone) for row in rows}
    for name in (skill.name for skill in SKILLS):
        cells = [ends[seed, name] for seed in SEEDS]
        table.row(name, *(f"{base:.2f} → {alone:.2f}" for base, alone in cells))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    add_output(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    progress = Progress()
    worlds = {seed: world(arguments.cache, seed, progress) for seed in SEEDS}
    rows = [row for one in worlds.values() for row in measured(arguments.cache, one, progress)]
    found = Found(worlds, rows)
    publish(gains(rows), arguments.append)
    for kind in FITTED:
        title = f"Rank correlation with the loss, {KINDS[kind]}"
        publish(compared(found, kind, title), arguments.append)
    publish(correlations(found), arguments.append)
    ratio = "Forecast / measured, median (10 % to 90 %)"
    before = [PREDICTORS[UNCALIBRATED](one) for one in found.rough]
    publish(calibration(found), arguments.append)
    publish(sizes(found, found.forecast, ratio), arguments.append)
    publish(sizes(found, found.by_length, f"{ratio}, without recorded gains"), arguments.append)
    publish(sizes(found, before, f"{ratio}, as of ADR 18", FITTED), arguments.append)
    for kind in ("pairs", "disjoint"):
        publish(levels(found, kind, f"Levels, {KINDS[kind]}, seeds 1 and 2"), arguments.append)
    places = [place for seed in SEEDS for place in found.places(seed, "pairs")]
    by_seed = {seed: found.correlation(found.forecast, seed, "pairs") for seed in SEEDS}
    draw([(rows[place], found.forecast[place]) for place in places], by_seed, arguments.plot)


if __name__ == "__main__":
    main()
