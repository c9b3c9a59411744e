"""How the API talks to its caller: notes, progress and questions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillpm.parallel import Advance, PlannedStage


def ignore_progress(_label: str, _total: int) -> "Advance":
    """A progress callback that shows nothing."""
    return lambda _count: None


def ignore_plan(_stages: "Sequence[PlannedStage]") -> None:
    """A plan callback that shows nothing."""


def _ignore(_text: str) -> None:
    return None


@dataclass(frozen=True)
class Callbacks:
    """How the API talks to its caller; by default it is silent and asks nothing.

    `say` receives notes and warnings, `progress` a label and a total in bytes or items. `confirm`
    asks the user a question, and returns None if it cannot. `plan` receives the stages that follow,
    whose labels `progress` gets.
    """

    say: Callable[[str], None] = _ignore
    progress: "Callable[[str, int], Advance]" = ignore_progress
    confirm: Callable[[str], bool | None] = _ignore
    plan: "Callable[[Sequence[PlannedStage]], None]" = ignore_plan


SILENT = Callbacks()
"""Says nothing, asks nothing."""
