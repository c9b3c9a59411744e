"""Symbolic links at `skillpm.toml` and `skillpm.lock`, followed only inside the project."""

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from skillpm.errors import StateError
from skillpm.files.folder import Folder


class OutsideLinkError(StateError):
    """A project file that is a symbolic link to a place outside the project."""

    def __init__(self, path: Path, target: str) -> None:
        super().__init__(
            f"`{path}` should be a file of the project, is a symbolic link to `{target}`: "
            "it is neither read nor written",
            hint=f"`ls -l {shlex.quote(str(path))}` shows the link; if the file is yours, replace "
            "the link with a copy of it",
        )
        self.path = path
        self.target = target


@contextmanager
def real_file(project: Folder, name: str) -> Iterator[tuple[Folder, str]]:
    """The open folder and the name of a project file, after following a symbolic link.

    A link is followed once, and only to a place inside the project. Nothing outside the project is
    accessed. Raises `OutsideLinkError` for a link out of the project or to another link.
    """
    status = project.status(name)
    if status is None or not stat.S_ISLNK(status.st_mode):
        yield project, name
        return
    target = os.readlink(name, dir_fd=project.fd)
    steps = _steps_inside(project.path, target)
    if not steps:
        raise OutsideLinkError(project.path / name, target)
    with ExitStack() as stack:
        folder = project
        for step in steps[:-1]:
            folder = stack.enter_context(folder.subfolder(step))
        status = folder.status(steps[-1])
        if status is not None and stat.S_ISLNK(status.st_mode):
            raise OutsideLinkError(project.path / name, target)
        yield folder, steps[-1]


def _steps_inside(project: Path, target: str) -> list[str]:
    """The names from the project down to a link's target; none if it is not in the project."""
    if target.startswith("/"):
        homes = (os.path.abspath(project), os.path.realpath(project))  # noqa: PTH100 - keeps links
        home = next((home for home in homes if target.startswith(f"{home}/")), None)
        if home is None:
            return []
        target = target.removeprefix(f"{home}/")
    steps = os.path.normpath(target).split("/")
    return [] if steps[0] in {"", ".", "..", ".skillpm"} else steps
