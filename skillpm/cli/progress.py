"""Progress bars on stderr, on a terminal; nothing elsewhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


COUNTED = frozenset({"calibrating", "probe items", "router examples", "trials"})
"""The stages of which things are counted; of all others it is bytes."""


def _columns(color: bool | None) -> "Progress":  # noqa: FBT001 - yes, no, or as the terminal says
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Done(progress.DownloadColumn):
        """How much of a stage is done, in its own unit."""

        def render(self, task: progress.Task) -> Text:
            if task.description not in COUNTED:
                return super().render(task)
            return Text(f"{task.completed:.0f}/{task.total:.0f}", style="progress.download")

    class Speed(progress.TransferSpeedColumn):
        """Bytes a second."""

        def render(self, task: progress.Task) -> Text:
            return Text() if task.description in COUNTED else super().render(task)

    class Remaining(progress.ProgressColumn):
        """The time left at the mean speed so far, however rarely the stage advances."""

        def render(self, task: progress.Task) -> Text:
            left = time_left(task.completed, task.total or 0, task.elapsed or 0)
            return Text(left, style="progress.remaining")

    return progress.Progress(
        progress.TextColumn("{task.description:>22}"),
        progress.BarColumn(),
        Done(),
        Speed(),
        Remaining(),
        console=Console(stderr=True, no_color=True if color is False else None),
        transient=True,
    )


def time_left(done: float, total: float, elapsed: float) -> str:
    """The time that the rest of a stage takes at its mean speed so far; `-` before it began."""
    if not done or not elapsed:
        return "-"
    seconds = round(elapsed * max(0.0, total - done) / done)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


class Bars:
    """One bar for each stage of a command; a stage that comes again makes its bar longer."""

    def __init__(self, *, shown: bool, color: bool | None = None) -> None:
        self._shown = shown
        self._color = color
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """A new bar; call the result with the bytes, or things, that are done."""
        if not self._shown:
            return lambda _count: None
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

    def close(self) -> None:
        """Take the bars off the terminal."""
        if self._progress is not None:
            self._progress.stop()
