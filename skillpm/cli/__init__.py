"""The command line. A command imports its part of `skillpm.api` when it runs."""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence

from skillpm.cli.interrupts import keep_exit_code, leave_interrupted

_COLLECTION_THRESHOLD = 100_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; Ctrl-C while modules are imported or at exit gives the usual error too."""
    if argv is None:
        # Garbage collection during imports and at exit finds nothing to free in modules and
        # documents, and takes a fifth of the time of a short command.
        gc.set_threshold(_COLLECTION_THRESHOLD)
        atexit.register(gc.freeze)
        # pydantic searches the metadata of all installed packages for plugins; skillpm uses none.
        os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    try:
        from skillpm.cli.app import main as run

        run(argv)
    except KeyboardInterrupt:
        leave_interrupted(as_json="--json" in (sys.argv if argv is None else argv))
    finally:
        if argv is None:  # only the interpreter's shutdown is left
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            keep_exit_code()


__all__ = ["main"]
