"""Progress bars on stderr, on a terminal; nothing elsewhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


COUNTED = frozenset({"probe items", "router examples", "trials"})
"""The stages of which things are counted; of all others it is bytes."""


def _columns(color: bool | None) -> "Progress":  # noqa: FBT001 - yes, no, or as the terminal says
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Done(DownloadColumn):
        """How much of a stage is done, in its own unit."""

        def render(self, task: Task) -> Text:
            if task.description not in COUNTED:
                return super().render(task)
            return Text(f"{task.completed:.0f}/{task.total:.0f}", style="progress.download")

    class Speed(TransferSpeedColumn):
        """Bytes a second."""

        def render(self, task: Task) -> Text:
            return Text() if task.description in COUNTED else super().render(task)

    return Progress(
        TextColumn("{task.description:>22}"),
        BarColumn(),
        Done(),
        Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=True if color is False else None),
        transient=True,
    )


class Bars:
    """One bar for each stage of a command; a stage that comes again takes its bar again."""

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
            progress.reset(self._tasks[label], total=total)
        else:
            self._tasks[label] = progress.add_task(label, total=total)
        task = self._tasks[label]
        return lambda count: progress.advance(task, count)

    def close(self) -> None:
        """Take the bars off the terminal."""
        if self._progress is not None:
            self._progress.stop()
