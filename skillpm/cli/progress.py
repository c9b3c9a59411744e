"""Progress bars on stderr, only if it is a terminal."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from skillpm.cli.staged import StagedProgress

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from skillpm.parallel import PlannedStage


COUNTED = frozenset({
    "calibrating", "dpo steps", "held-out items", "judged answers", "probe items",
    "router examples", "sft steps", "trials",
})  # fmt: skip
"""Labels of stages that count items; all other stages count bytes."""
_ALL = "all stages"
COUNTED_STARTS = ("answers of ", "rehearsing ")
"""How labels of stages start that count the answers of a model."""


def is_counted(label: str) -> bool:
    """Whether a stage counts items."""
    return label in COUNTED or label.startswith(COUNTED_STARTS)


def _columns(color: bool | None) -> "Progress":  # noqa: FBT001 - None leaves it to the terminal
    from rich import progress
    from rich.text import Text

    class Done(progress.DownloadColumn):
        """How much of a stage is done, in bytes or items."""

        def render(self, task: progress.Task) -> Text:
            if not is_counted(task.description):
                return super().render(task)
            return Text(f"{task.completed:.0f}/{task.total:.0f}", style="progress.download")

    class Speed(progress.TransferSpeedColumn):
        """Bytes per second; empty for stages that count items."""

        def render(self, task: progress.Task) -> Text:
            return Text() if is_counted(task.description) else super().render(task)

    class Remaining(progress.ProgressColumn):
        """The time left at the stage's mean speed so far.

        rich's own estimate uses recent steps, and is empty for stages that advance rarely.
        """

        def render(self, task: progress.Task) -> Text:
            left = time_left(task.completed, task.total or 0, task.elapsed or 0)
            return Text(left, style="progress.remaining")

    return _bars(color, Done(), Speed(), Remaining())


def _bars(color: bool | None, *columns: "ProgressColumn") -> "Progress":  # noqa: FBT001 - as above
    """Bars on stderr, with a label before them and these columns after them."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description:>22}"),
        progress.BarColumn(),
        *columns,
        console=Console(stderr=True, no_color=True if color is False else None),
        transient=True,
    )


def time_left(done: float, total: float, elapsed: float) -> str:
    """The rest of a stage at its mean speed so far, as `h:mm:ss`; `-` before the first step."""
    if not done or not elapsed:
        return "-"
    return clock_text(elapsed * max(0.0, total - done) / done)


def clock_text(duration: float) -> str:
    """Seconds as `h:mm:ss`."""
    seconds = round(duration)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _staged_columns(color: bool | None, staged: StagedProgress) -> "Progress":  # noqa: FBT001 - as above
    from rich import progress
    from rich.text import Text

    class Left(progress.ProgressColumn):
        """The time left of all stages."""

        def render(self, task: progress.Task) -> Text:
            seconds = None if task.finished else staged.seconds_left
            return Text("-" if seconds is None else clock_text(seconds), "progress.remaining")

    return _bars(color, progress.TaskProgressColumn(), Left())


class Bars:
    """The progress of a command.

    Of a command that plans its stages, one bar over all of them. Of any other, one for each stage;
    a repeated stage extends its bar.
    """

    def __init__(self, *, shown: bool, color: bool | None = None) -> None:
        self._shown = shown
        self._color = color
        self._progress: Progress | None = None
        self._staged: StagedProgress | None = None
        self._tasks: dict[str, TaskID] = {}

    def plan(self, stages: "Sequence[PlannedStage]") -> None:
        """Show one bar over these stages; a second plan replaces those that have not started."""
        if not self._shown:
            return
        if self._staged is not None:
            self._staged.plan(stages)
            return
        self._staged = StagedProgress(stages, time.monotonic)
        self._progress = _staged_columns(self._color, self._staged)
        self._progress.start()

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Start a stage. Call the result with the number of bytes or items done."""
        if not self._shown:
            return lambda _count: None
        if self._staged is not None and self._progress is not None:
            return self._start_staged(self._staged, self._progress, label, total)
        if self._progress is None:
            self._progress = _columns(self._color)
            self._progress.start()
        progress = self._progress
        if label in self._tasks:
            longer = (progress.tasks[self._tasks[label]].total or 0) + total
            progress.update(self._tasks[label], total=longer)
        else:
            self._tasks[label] = progress.add_task(label, total=total)
        task = self._tasks[label]
        return lambda count: progress.advance(task, count)

    def _start_staged(
        self, staged: StagedProgress, progress: "Progress", label: str, total: int
    ) -> Callable[[int], None]:
        """Start a stage of the one bar, whose label becomes that of the stage."""
        count = staged.start(label, total)
        if _ALL not in self._tasks:
            self._tasks[_ALL] = progress.add_task(label, total=1.0)
        task = self._tasks[_ALL]
        progress.update(task, description=label, completed=staged.share)

        def advance(amount: int) -> None:
            count(amount)
            progress.update(task, completed=staged.share)

        return advance

    def close(self) -> None:
        """Remove the bars from the terminal. A stage that starts later shows new ones."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = self._staged = None
        self._tasks.clear()
