"""skillpm: the package manager for model skills.

From Python, `skillpm.open(".")` is the door; importing it costs nothing else.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.version import __version__

if TYPE_CHECKING:
    from skillpm.flows.evaluate.live import Workspace

__all__ = ["__version__", "open"]


def open(  # noqa: A001 - `skillpm.open` reads as what it does, as `tarfile.open` does
    folder: str | Path = ".",
    *,
    home: str | Path | None = None,
    base: str | Path | None = None,
    workers: int | None = None,
) -> "Workspace":
    """The project in a folder, to be run: `skillpm.open(".").load()` is its model.

    Variables and files say the rest, as for the command line. Needs the extra `hf`. Raises
    `NotFoundError` where there is no project.
    """
    from skillpm.cli.state import State, setting_of
    from skillpm.flows.evaluate.live import Workspace

    state = State(
        quiet=True,
        project=Path(folder),
        base=None if base is None else Path(base).expanduser(),
        home=None if home is None else Path(home),
        workers=workers,
    )
    closing = ExitStack()
    setting = setting_of(state, closing.callback, progress=lambda _label, _total: _silent)
    return Workspace(setting, closing)


def _silent(_count: int) -> None:
    """Tell nobody of progress."""
