"""How foreign work fails: it refuses by itself, or the sandbox stops it."""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why there is no answer."""

    REFUSED = "refused"
    """The foreign work raised an error, which is the message."""
    CRASHED = "crashed"
    MEMORY = "memory"
    TIME = "time"
    OUTPUT = "output"
    FOLDER = "folder"
    NOT_STARTED = "not started"


class ForeignWorkError(ValueError):
    """Foreign work that gave no answer. The message is a clause: `it took more than 60 s`."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
