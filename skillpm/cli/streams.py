"""The standard streams of a process that was started without them, or whose disk is full."""

import os
import sys

from skillpm.errors import StateError


def open_missing() -> None:
    """Open the null device in the place of each standard stream that is closed.

    Otherwise the next file that is opened gets its number, and what is printed goes there.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))


def flush_stdout() -> None:
    """Hand over all that was printed. Raises `StateError` where it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        discard_stdout()
        raise StateError(f"the output cannot be written: {problem.strerror}") from problem


def discard_stdout() -> None:
    """Let what is still to be printed go to the null device: nothing reads it any more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
