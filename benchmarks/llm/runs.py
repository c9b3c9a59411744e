"""Measured commands as JSON lines, appended one by one, so that an interrupted run continues."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.tools.running import Ran


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and processor seconds, peak resident bytes, and the bytes written."""

    seconds: float
    processor: float
    peak: int
    size: int

    @classmethod
    def of(cls, *ran: Ran, size: int = 0) -> Cost:
        """The cost of processes that ran one after the other."""
        return cls(
            sum(each.seconds for each in ran),
            sum(each.processor for each in ran),
            max(each.peak for each in ran),
            size,
        )

    @classmethod
    def median(cls, costs: Iterable[Cost]) -> Cost:
        """The median of each figure, and the largest peak."""
        some = list(costs)
        return cls(
            statistics.median(cost.seconds for cost in some),
            statistics.median(cost.processor for cost in some),
            max(cost.peak for cost in some),
            some[0].size,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One command on one pair of models, with a number of workers; `number` counts repetitions."""

    model: str
    step: str
    workers: int
    number: int


class Runs:
    """The costs of runs, in a file whose name holds the digest of all inputs.

    An incomplete last line is ignored, and its command runs again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._costs: dict[Run, Cost] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                document = json.loads(line)
                self._costs[Run(**document["run"])] = Cost(**document["cost"])
            except (ValueError, TypeError, KeyError):
                continue
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def __contains__(self, run: Run) -> bool:
        return run in self._costs

    def add(self, run: Run, cost: Cost) -> None:
        """Add a run, on disk first."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": asdict(run), "cost": asdict(cost)}) + "\n")
        self._costs[run] = cost

    def cost(self, model: str, step: str, workers: int) -> Cost | None:
        """The median of all repetitions; None if the command never ran."""
        found = [
            cost
            for run, cost in self._costs.items()
            if (run.model, run.step, run.workers) == (model, step, workers)
        ]
        return Cost.median(found) if found else None

    def steps(self, model: str) -> list[str]:
        """The steps that ran on a model, in the order of their first run."""
        return list(dict.fromkeys(run.step for run in self._costs if run.model == model))
