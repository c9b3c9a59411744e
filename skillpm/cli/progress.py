"""Progress bars on stderr, on a terminal; nothing elsewhere."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def _columns(color: bool | None) -> "Progress":  # noqa: FBT001 - yes, no, or as the terminal says
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description:>22}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=True if color is False else None),
        transient=True,
    )


class Bars:
    """One bar for each stage of a command; started with the first."""

    def __init__(self, *, shown: bool, color: bool | None = None) -> None:
        self._shown = shown
        self._color = color
        self._progress: Progress | None = None

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """A new bar; call the result with the bytes that are done."""
        if not self._shown:
            return lambda _count: None
        if self._progress is None:
            self._progress = _columns(self._color)
            self._progress.start()
        task = self._progress.add_task(label, total=total)
        progress = self._progress
        return lambda count: progress.advance(task, count)

    def close(self) -> None:
        """Take the bars off the terminal."""
        if self._progress is not None:
            self._progress.stop()
