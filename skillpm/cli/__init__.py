"""The command line. Command files import click alone; their flows load when they are called."""

import atexit
import gc
import os
from collections.abc import Sequence

_INTERRUPTED = 130
_GARBAGE = 100_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; stopped even before it begins, it says nothing."""
    if argv is None:
        # Modules and documents are no garbage: to look for some among them, while they come in and
        # once more at the end, costs a short command a fifth of its time.
        gc.set_threshold(_GARBAGE)
        atexit.register(gc.freeze)
    try:
        from skillpm.cli.app import main as run
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    run(argv)


__all__ = ["main"]
