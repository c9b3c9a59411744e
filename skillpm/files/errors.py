"""What goes wrong with a file: each with its path, what was expected and what is there."""

import errno
import shlex
import stat
from pathlib import Path

from skillpm.errors import NotFoundError, SkillpmError, StateError

FILE = "a regular file"
FOLDER = "a folder"
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, FOLDER),
    (stat.S_ISREG, FILE),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class MissingFileError(NotFoundError):
    """A file or folder that is not there."""

    def __init__(self, path: Path, kind: str = "file") -> None:
        super().__init__(f"there is no {kind} `{path}`")
        self.path = path


class DeniedError(StateError):
    """A file or folder that the system does not let this user read or write."""

    def __init__(self, path: Path, verb: str) -> None:
        super().__init__(
            f"`{path}` may not be {verb}: permission denied",
            hint=f"`ls -ld {shlex.quote(str(path))}` shows its owner and its mode",
        )
        self.path = path


class WrongKindError(StateError):
    """A link, pipe, device or folder where something else belongs; it is not opened."""

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        super().__init__(
            f"`{path}` should be {expected}, is {found}: it is not used",
            hint=f"`ls -ld {shlex.quote(str(path))}` shows it; remove it if it is not yours",
        )
        self.path = path
        self.expected = expected
        self.found = found


class TooLargeError(StateError):
    """A file that is larger than any file of its purpose."""

    def __init__(self, path: Path, *, size: int, limit: int) -> None:
        super().__init__(f"`{path}` should have at most {limit} bytes, has {size}: it is not read")
        self.path = path


class UnwritableFileError(StateError):
    """A file or folder that the disk does not take."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"`{path}` cannot be written: {reason}")
        self.path = path


class UnreadableFileError(StateError):
    """A file or folder that the disk does not give."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"`{path}` cannot be read: {reason}")
        self.path = path


def kind_of(mode: int) -> str:
    """What a file's mode says that it is, with its article."""
    return next((name for test, name in _KINDS if test(mode)), "a special file")


def read_error(path: Path, problem: OSError) -> SkillpmError:
    """The system's refusal to read, as an error of skillpm."""
    if isinstance(problem, FileNotFoundError):
        return MissingFileError(path)
    if problem.errno in _DENIED:
        return DeniedError(path, "read")
    return UnreadableFileError(path, problem.strerror or str(problem))


def write_error(path: Path, problem: OSError) -> SkillpmError:
    """The system's refusal to write, as an error of skillpm."""
    if problem.errno in _DENIED:
        return DeniedError(path, "written")
    return UnwritableFileError(path, problem.strerror or str(problem))
