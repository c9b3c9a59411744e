"""`skillpm.toml` and `skillpm.lock` where they are links: followed inside the project alone."""

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from skillpm.errors import StateError
from skillpm.files.folder import Folder


class OutsideLinkError(StateError):
    """A project file that is a link out of the project: it is neither read nor written."""

    def __init__(self, path: Path, target: str) -> None:
        super().__init__(
            f"`{path}` should be a file of the project, is a symbolic link to `{target}`: "
            "it is neither read nor written",
            hint=f"`ls -l {shlex.quote(str(path))}` shows the link; put a copy of the file in its "
            "place if the file is yours",
        )
        self.path = path
        self.target = target


@contextmanager
def real_file(project: Folder, name: str) -> Iterator[tuple[Folder, str]]:
    """The folder and the name under which a project file truly lies.

    That is the project itself; or, where the file is a link, the place in the project that it names
    in one step. Nothing outside the project is looked at. Raises `OutsideLinkError`.
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
        found = folder.status(steps[-1])
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise OutsideLinkError(project.path / name, target)
        yield folder, steps[-1]


def _steps_inside(project: Path, target: str) -> list[str]:
    """The names from the project down to a link's target; none where it is not below."""
    if target.startswith("/"):
        homes = (os.path.abspath(project), os.path.realpath(project))  # noqa: PTH100 - by letters
        home = next((home for home in homes if target.startswith(f"{home}/")), None)
        if home is None:
            return []
        target = target.removeprefix(f"{home}/")
    steps = os.path.normpath(target).split("/")
    return [] if steps[0] in {"", ".", "..", ".skillpm"} else steps
