"""The command line. Command files import click alone; their flows load when they are called."""

import os
from collections.abc import Sequence

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; stopped even before it begins, it says nothing."""
    try:
        from skillpm.cli.app import main as run
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    run(argv)


__all__ = ["main"]
