"""What commands cost on the fine-tune, with one worker and with all, beside simple tools."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.llm import commands
from benchmarks.llm.commands import COPY, HASH, OURS, PEERS, PLANES, PLANES_BACK
from benchmarks.llm.runs import Run
from benchmarks.tools.table import Table, megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.llm.commands import Walk
    from benchmarks.llm.runs import Cost, Runs

BACK = frozenset({commands.VERIFY, commands.GRAFT})
"""Steps that decode; they are compared with the script's way back."""


@dataclass(frozen=True)
class Course:
    """What is measured on one model: steps, numbers of workers, repetitions."""

    model: str
    steps: Sequence[str]
    workers: Sequence[int]
    times: int

    def pending(self, runs: Runs) -> list[Run]:
        """The missing runs. Repetitions alternate, so that load on the machine affects all."""
        found = []
        for number in range(self.times):
            found += [Run(self.model, step, 1, number) for step in PEERS]
            found += [
                Run(self.model, step, workers, number)
                for step in self.steps
                for workers in self.workers
            ]
        return [run for run in found if run not in runs]


def measure(walk: Walk, course: Course, runs: Runs) -> None:
    """Run every command that is missing; each is recorded when it ends."""
    pending = course.pending(runs)
    if pending:
        _warm_up(walk)
    for run in pending:
        if run.step == commands.FAST and not commands.has_fast_lane():
            continue
        command: Callable[[Walk, int], Cost] = {**PEERS, **OURS}[run.step]
        cost = command(walk, run.workers)
        runs.add(run, cost)
        clock = time.strftime("%H:%M:%S")
        print(
            f"{clock} {run.model}: {run.step}, workers {run.workers}: {cost.processor:.1f} CPU s, "
            f"{cost.seconds:.1f} s",
            file=sys.stderr,
            flush=True,
        )


def _warm_up(walk: Walk) -> None:
    """Read both models into the page cache, and have skillpm compile its kernels once."""
    walk.folder.mkdir(parents=True, exist_ok=True)
    commands.hashed(walk, 1)
    walk.lossless()


def cost_table(runs: Runs, course: Course, title: str) -> Table:
    """Processor seconds as ratios to the peers of the same run; the speed-up by all workers."""
    most = max(course.workers)
    headings = ["command", "MB written", "CPU s", f"to {COPY}", f"to {HASH}", "to planes",
                "wall s", "peak memory"]  # fmt: skip
    if most > min(course.workers):
        headings += [f"CPU s, {most} workers", f"wall s, {most} workers", "speed-up"]
    table = Table(title, tuple(headings))
    for step in (*PEERS, *course.steps):
        if runs.cost(course.model, step, min(course.workers)) is not None:
            table.row(*_cells(runs, course, step)[: len(headings)])
    return table


def _cells(runs: Runs, course: Course, step: str) -> list[str]:
    one, every = (runs.cost(course.model, step, pick(course.workers)) for pick in (min, max))
    assert one is not None
    rival = PLANES_BACK if step in BACK or step == PLANES_BACK else PLANES
    ratios = []
    for peer in (COPY, HASH, rival):
        other = runs.cost(course.model, peer, 1)
        ratios.append("-" if other is None else f"{one.processor / other.processor:.2f}")
    peak = max(cost.peak for cost in (one, every) if cost is not None)
    size = f"{one.size / 1e6:.1f}" if one.size else "-"
    cells = [step, size, f"{one.processor:.1f}", *ratios, f"{one.seconds:.1f}", megabytes(peak)]
    if every is None:
        return [*cells, "-", "-", "-"]
    faster = one.seconds / every.seconds
    return [*cells, f"{every.processor:.1f}", f"{every.seconds:.1f}", f"{faster:.2f}"]


def scale_table(runs: Runs, small: Course, large: Course, sizes: tuple[int, int]) -> Table:
    """Processor nanoseconds per byte of the checkpoint, on the tune and on the repeated tune."""
    least = min(large.workers)
    columns = ("command", *(f"{size / 1e6:,.0f} MB: ns per byte" for size in sizes), "ratio")
    table = Table("Cost per byte: the tune, and its layers repeated", columns)
    for step in (*PEERS, *large.steps):
        costs = [runs.cost(course.model, step, least) for course in (small, large)]
        found = [cost.processor for cost in costs if cost is not None]
        if len(found) == len(costs):
            each = [1e9 * seconds / size for seconds, size in zip(found, sizes, strict=True)]
            table.row(step, *(f"{value:.1f}" for value in each), f"{each[1] / each[0]:.2f}")
    return table
