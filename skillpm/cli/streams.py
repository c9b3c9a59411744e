"""Standard streams that are closed, or that cannot be written."""

import os
import sys

from skillpm.errors import StateError


def open_missing() -> None:
    """Open the null device in place of each closed standard stream.

    Otherwise the next file that is opened gets the file descriptor of stdout, and output would be
    written into it.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))


def flush_stdout() -> None:
    """Flush stdout. Raises `StateError` if it cannot be written, for example on a full disk."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        discard_stdout()
        raise StateError(f"the output cannot be written: {problem.strerror}") from problem


def discard_stdout() -> None:
    """Redirect stdout to the null device, so that the flush at exit cannot fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
