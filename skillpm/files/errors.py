"""Errors of file access. Each names the path, what was expected and what was found."""

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
    """A file or folder does not exist."""

    def __init__(self, path: Path, kind: str = "file") -> None:
        super().__init__(f"there is no {kind} `{path}`")
        self.path = path


class DeniedError(StateError):
    """The operating system denies this user to read or write a file or folder."""

    def __init__(self, path: Path, verb: str) -> None:
        super().__init__(
            f"`{path}` cannot be {verb}: permission denied",
            hint=f"`ls -ld {shlex.quote(str(path))}` shows its owner and permissions",
        )
        self.path = path


class WrongKindError(StateError):
    """A path has another type than expected, such as a link, a pipe or a device.

    It is never opened: a link could lead out of the folder, and a pipe could block.
    """

    def __init__(self, path: Path, *, expected: str, found: str) -> None:
        super().__init__(
            f"`{path}` should be {expected}, is {found}: it is not used",
            hint=f"`ls -ld {shlex.quote(str(path))}` shows it; if you did not create it, remove it",
        )
        self.path = path
        self.expected = expected
        self.found = found


class TooLargeError(StateError):
    """A file is larger than a valid file of its kind can be."""

    def __init__(self, path: Path, *, size: int, limit: int) -> None:
        super().__init__(f"`{path}` should have at most {limit} bytes, has {size}: it is not read")
        self.path = path


class UnwritableFileError(StateError):
    """Writing a file or folder failed, for example because the disk is full."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"`{path}` cannot be written: {reason}")
        self.path = path


class UnreadableFileError(StateError):
    """Reading a file or folder failed, for example because of a disk error."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"`{path}` cannot be read: {reason}")
        self.path = path


def kind_of(mode: int) -> str:
    """The type of a file by its mode, with an article: `a symbolic link`."""
    return next((name for test, name in _KINDS if test(mode)), "a special file")


def check_regular(mode: int, path: Path) -> None:
    """Raise `WrongKindError` unless `mode` is that of a regular file."""
    if not stat.S_ISREG(mode):
        raise WrongKindError(path, expected=FILE, found=kind_of(mode))


def read_error(path: Path, problem: OSError) -> SkillpmError:
    """Translate an `OSError` of reading `path` to an error of skillpm."""
    if isinstance(problem, FileNotFoundError):
        return MissingFileError(path)
    if problem.errno in _DENIED:
        return DeniedError(path, "read")
    return UnreadableFileError(path, problem.strerror or str(problem))


def write_error(path: Path, problem: OSError) -> SkillpmError:
    """Translate an `OSError` of writing `path` to an error of skillpm."""
    if problem.errno in _DENIED:
        return DeniedError(path, "written")
    return UnwritableFileError(path, problem.strerror or str(problem))
