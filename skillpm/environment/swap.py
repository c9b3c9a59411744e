"""Replacing a graft's folder by a finished new one, by renames.

A killed command can leave the target without a graft; recovery then restores a complete one.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.folder import STAMP
from skillpm.environment.intents import GRAFT_NAME_LIMIT
from skillpm.errors import NotFoundError, SkillpmError, StateError, UsageError
from skillpm.files.folder import Folder
from skillpm.files.names import check_plain_name
from skillpm.files.output import check_output_folder
from skillpm.spec import json
from skillpm.spec.digests import Digest


@dataclass(frozen=True)
class GraftPlace:
    """The place of a graft: the real path of its parent folder, and its name.

    `below` are the names from the project down to the parent folder; None if the folder is not in
    the project.
    """

    project: Path
    folder: Path
    name: str
    below: tuple[str, ...] | None

    @property
    def target(self) -> Path:
        """The path of the graft."""
        return self.folder / self.name

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[Folder]:
        """Open the parent folder of the graft. Symbolic links in the project are not followed."""
        if self.below is None:
            with Folder.open(self.folder, create=create) as folder:
                yield folder
            return
        folder = Folder.open(self.project)
        for step in self.below:
            with folder as above:
                folder = above.subfolder(step, create=create)
        with folder:
            yield folder


def locate(project: Path, target: Path) -> GraftPlace:
    """Resolve the target path that a user gave.

    A target written as a path in the project must be in the project after links are resolved:
    otherwise a link in an untrusted project leads out of it, and `StateError` is raised. A target
    written as a path outside the project is the user's choice and may be anywhere.
    """
    written = Path(os.path.abspath(target))  # noqa: PTH100 - does not resolve links
    name = check_plain_name(
        written.name, f"the name of the graft `{target}`", longest=GRAFT_NAME_LIMIT
    )
    home, folder = Path(os.path.realpath(project)), Path(os.path.realpath(written.parent))
    if folder.is_relative_to(home):
        return GraftPlace(home, folder, name, folder.relative_to(home).parts)
    if written.is_relative_to(Path(os.path.abspath(project))):  # noqa: PTH100
        raise StateError(
            f"`{target}` should be in the project, but a symbolic link leads to `{folder}`",
            hint=f"to write there, run `skillpm graft -o {folder / name}`",
        )
    return GraftPlace(home, folder, name, None)


def check_target(project: Path, target: Path, base: Path, home: Path) -> GraftPlace:
    """Resolve the target of a graft and check that it may be written (laws 1 and 5).

    Raises `UsageError` if the target overlaps the base, the home or the project's state, and
    `StateError` if the target exists and is not a graft, or cannot be written.
    """
    check_apart(target, {"base": base, "project's state": project / ".skillpm", "home": home})
    if Path(os.path.realpath(project)).is_relative_to(os.path.realpath(target)):
        raise _overlap(target, "is or contains", "project")
    place = locate(project, target)
    with suppress(NotFoundError), place.open() as folder:
        if not is_replaceable(folder, place.name):
            raise StateError(
                f"`{target}` already exists and was not written by skillpm; it is not overwritten",
                hint="name a folder that is absent or empty with `-o`",
            )
    check_output_folder(target)
    return place


def check_apart(target: Path, kept: Mapping[str, Path]) -> None:
    """Raise `UsageError` if a target is one of these places, is inside one or contains one."""
    real = Path(os.path.realpath(target))
    for what, place in kept.items():
        source = Path(os.path.realpath(place))
        if real.is_relative_to(source) or source.is_relative_to(real):
            raise _overlap(target, "is, contains or is inside", what)


def _overlap(target: Path, relation: str, what: str) -> UsageError:
    return UsageError(
        f"`{target}` {relation} the {what}: a graft cannot be written there",
        hint="name another folder: `skillpm graft -o graft/`",
    )


def is_replaceable(folder: Folder, name: str) -> bool:
    """Whether a graft may be written at a name: nothing, an empty folder or a graft is there."""
    status = folder.status(name)
    if status is None:
        return True
    if not stat.S_ISDIR(status.st_mode):
        return False
    with folder.subfolder(name) as target:
        return _is_stamped(target) or not target.names()


def _is_stamped(folder: Folder) -> bool:
    """Whether a folder contains a graft's metadata file with a valid document."""
    try:
        metadata = json.parse_object(folder.read(STAMP), STAMP)
        Digest(metadata["root"])
        Digest(metadata["base_root"])
    except (SkillpmError, KeyError, TypeError):
        return False
    return type(metadata.get("format")) is int and isinstance(metadata.get("files"), dict)


@dataclass(frozen=True)
class Swap:
    """A staged folder beside its target; `folder` is the open parent of both."""

    folder: Folder
    name: str

    @property
    def staged(self) -> str:
        """The name of the staged folder, in which the new graft is written."""
        return f".{self.name}.skillpm-new"

    @property
    def old(self) -> str:
        """The name of the replaced graft until it is removed."""
        return f".{self.name}.skillpm-old"

    def begin(self) -> Path:
        """Create an empty staged folder and return its path. Raises `StateError`."""
        self.folder.remove_tree(self.staged)
        with self.folder.subfolder(self.staged, create=True) as staged:
            return staged.path

    def complete(self) -> bool:
        """Move the staged folder to the target. May be called again after a kill.

        Returns False if the target now holds something other than a graft: the target stays, and
        the staged folder is removed.
        """
        folder = self.folder
        if folder.has(self.staged):
            if not is_replaceable(folder, self.name):
                self.discard()
                return False
            if folder.has(self.name):
                folder.remove_tree(self.old)
                folder.rename(self.name, self.old)
            folder.rename(self.staged, self.name)
            folder.sync()
        with suppress(SkillpmError):
            folder.remove_tree(self.old)
        return True

    def discard(self) -> None:
        """Remove the staged folder; errors are ignored."""
        with suppress(SkillpmError):
            self.folder.remove_tree(self.staged)

    def check_staged(self) -> None:
        """Raise `StateError` if the staged folder is not a graft that skillpm wrote."""
        status = self.folder.status(self.staged)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            with self.folder.subfolder(self.staged) as staged:
                if _is_stamped(staged):
                    return
        path = self.folder.path / self.staged
        raise StateError(
            f"`{path}` should be an unfinished graft, but was not written by skillpm; it is left "
            "as it is",
            hint="`skillpm doctor` names the journal that refers to it; remove the journal",
        )


def recover_swap(place: GraftPlace, *, ready: bool) -> list[str]:
    """Complete an interrupted swap, or remove the unfinished staged folder if not `ready`.

    Returns sentences for the user on what was done.
    """
    try:
        with place.open() as folder:
            swap = Swap(folder, place.name)
            if not ready:
                swap.discard()
                return []
            swap.check_staged()
            done = swap.complete()
    except NotFoundError:
        return []  # The parent folder was removed, and the staged folder with it.
    if done:
        return [f"completed the interrupted graft in `{place.target}`"]
    return [f"`{place.target}` was replaced after the interruption; it is left as it is"]
