"""Runs an example in a terminal: its errors become one sentence, and Ctrl-C is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from examples.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH_WITHOUT_TERMINAL = 100
INTERRUPTED = 130


def run_example(example: Callable[[Console], int], *, hint: str) -> int:
    """Run an example on stdout, and return its exit code.

    A `DemoError` is printed, and gives 1. Ctrl-C prints `hint`, and gives 130.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    try:
        return example(console)
    except DemoError as error:
        console.print(f"error: {error}", style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print(f"\nerror: interrupted\n\nhint: {hint}", markup=False)
        return INTERRUPTED
