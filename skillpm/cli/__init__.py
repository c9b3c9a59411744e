"""The command line. Command files import click alone; their flows load when they are called."""

import atexit
import gc
import signal
import sys
from collections.abc import Sequence

from skillpm.cli.interrupts import leave_interrupted

_GARBAGE = 100_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; stopped while it is imported or as it ends, it says so as any other."""
    if argv is None:
        # Modules and documents are no garbage: to look for some among them, while they come in and
        # once more at the end, costs a short command a fifth of its time.
        gc.set_threshold(_GARBAGE)
        atexit.register(gc.freeze)
    try:
        from skillpm.cli.app import main as run

        run(argv)
    except KeyboardInterrupt:
        leave_interrupted(as_json="--json" in (sys.argv if argv is None else argv))
    finally:
        if argv is None:  # what is left is the interpreter's own end
            signal.signal(signal.SIGINT, signal.SIG_IGN)


__all__ = ["main"]
