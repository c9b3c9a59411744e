"""Failures of work in the sandbox: the work raises an error, or the sandbox stops it."""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why a request has no answer."""

    REFUSED = "refused"
    """The code in the worker raised an error; the message is its first line."""
    CRASHED = "crashed"
    """The worker's process ended."""
    MEMORY = "memory"
    """The worker ran out of memory."""
    TIME = "time"
    """The worker ran out of time."""
    OUTPUT = "output"
    """The request or the answer was too long, or the answer was malformed."""
    FOLDER = "folder"
    """The worker's folder was full."""
    NOT_STARTED = "not started"
    """The sandbox could not be started."""


class ForeignWorkError(ValueError):
    """A request to a worker that failed. The message is a clause: `it took more time than it has`.

    `it` is the code that runs in the worker.
    """

    def __init__(self, kind: FailureKind, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.exit_code = exit_code
        """The exit code of a worker that ended by itself; that of a shell after a signal."""
