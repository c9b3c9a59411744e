"""Progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from examples.code_search.settings import Advance

LINES = 4


@contextmanager
def watching(console: Console) -> Iterator[Advance]:
    """Yield an `advance` that shows each stage while the block runs."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _bars(progress)


def _lines(console: Console) -> Advance:
    quarters: dict[str, int] = {}

    def advance(stage: str, done: int, total: int) -> None:
        quarter = done * LINES // total
        if quarter > quarters.get(stage, 0):
            console.print(f"{stage}: {done} of {total}", markup=False, highlight=False)
        quarters[stage] = quarter

    return advance


def _bars(progress: Progress) -> Advance:
    tasks: dict[str, TaskID] = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage)
        progress.update(tasks[stage], completed=done, total=total)

    return advance
