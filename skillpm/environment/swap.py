"""Swapping a finished folder into its place: a graft is the old one or the new one."""

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
    """Where a graft goes: a folder by its real path, and the graft's name in it.

    `below` are the names from the project down to the folder; None where it lies outside.
    """

    project: Path
    folder: Path
    name: str
    below: tuple[str, ...] | None

    @property
    def target(self) -> Path:
        """The graft's own path."""
        return self.folder / self.name

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[Folder]:
        """The folder that holds the graft. No link below the project is followed."""
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
    """Where a graft that a person asked for lies. Raises `StateError` for a link out of a project.

    A target that is written as one in the project stays in the project, whatever links the project
    holds; any other is the person's own choice.
    """
    written = Path(os.path.abspath(target))  # noqa: PTH100 - by its letters, no link is looked at
    name = check_plain_name(
        written.name, f"the name of the graft `{target}`", longest=GRAFT_NAME_LIMIT
    )
    home, folder = Path(os.path.realpath(project)), Path(os.path.realpath(written.parent))
    if folder.is_relative_to(home):
        return GraftPlace(home, folder, name, folder.relative_to(home).parts)
    if written.is_relative_to(Path(os.path.abspath(project))):  # noqa: PTH100
        raise StateError(
            f"`{target}` should lie in the project, but a link leads to `{folder}`",
            hint=f"`skillpm graft -o {folder / name}` writes there, if that is meant",
        )
    return GraftPlace(home, folder, name, None)


def check_target(project: Path, target: Path, base: Path, home: Path) -> GraftPlace:
    """Where a graft goes. Raises `UsageError` or `StateError` unless it may (laws 1 and 5)."""
    check_apart(target, {"base": base, "project's state": project / ".skillpm", "home": home})
    if Path(os.path.realpath(project)).is_relative_to(os.path.realpath(target)):
        raise _not_apart(target, "project", "or above it")
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
    """Raise `UsageError` where a target is one of these places, inside it or above it."""
    real = Path(os.path.realpath(target))
    for what, place in kept.items():
        source = Path(os.path.realpath(place))
        if real.is_relative_to(source) or source.is_relative_to(real):
            raise _not_apart(target, what, "inside it or above it")


def _not_apart(target: Path, what: str, where: str) -> UsageError:
    return UsageError(
        f"`{target}` is the {what}, {where}: a graft is written elsewhere",
        hint="name another folder: `skillpm graft -o graft/`",
    )


def is_replaceable(folder: Folder, name: str) -> bool:
    """Whether a graft may take this place: nothing there, an empty folder, or a graft."""
    status = folder.status(name)
    if status is None:
        return True
    if not stat.S_ISDIR(status.st_mode):
        return False
    with folder.subfolder(name) as there:
        return _is_stamped(there) or not there.names()


def _is_stamped(folder: Folder) -> bool:
    """Whether a folder holds the record of a graft: a document of its form, and no other file."""
    try:
        plain = json.parse_object(folder.read(STAMP), STAMP)
        Digest(plain["root"])
        Digest(plain["base_root"])
    except (SkillpmError, KeyError, TypeError):
        return False
    return type(plain.get("format")) is int and isinstance(plain.get("files"), dict)


@dataclass(frozen=True)
class Swap:
    """A folder that is being made beside its target, to take its place; all in one open folder."""

    folder: Folder
    name: str

    @property
    def staged(self) -> str:
        """The name of the folder that is being made."""
        return f".{self.name}.skillpm-new"

    @property
    def old(self) -> str:
        """The name of what is replaced, until it is gone."""
        return f".{self.name}.skillpm-old"

    def begin(self) -> Path:
        """Make the staged folder, empty; its path. Raises `StateError`."""
        self.folder.remove_tree(self.staged)
        with self.folder.subfolder(self.staged, create=True) as staged:
            return staged.path

    def complete(self) -> bool:
        """Put the staged folder in the target's place; may be called again after a kill.

        False where something else has come to lie there since: it stays, the staged folder goes.
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
        """Leave nothing of the staged folder, so far as it can be removed."""
        with suppress(SkillpmError):
            self.folder.remove_tree(self.staged)

    def check_staged(self) -> None:
        """Raise `StateError` where the staged folder is none that skillpm made."""
        status = self.folder.status(self.staged)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            with self.folder.subfolder(self.staged) as staged:
                if _is_stamped(staged):
                    return
        path = self.folder.path / self.staged
        raise StateError(
            f"`{path}` should be a graft that was cut off, and is none: it is left as it is",
            hint="`skillpm doctor` names the journal that says so; remove the journal",
        )


def recover_swap(place: GraftPlace, *, ready: bool) -> list[str]:
    """Complete a swap that was cut off, or remove what was being made; say so."""
    try:
        with place.open() as folder:
            swap = Swap(folder, place.name)
            if not ready:
                swap.discard()
                return []
            swap.check_staged()
            done = swap.complete()
    except NotFoundError:
        return []  # the folder is gone, and with it all that was made
    if done:
        return [f"completed the graft in `{place.target}`, which was cut off"]
    return [f"`{place.target}` was replaced by something else meanwhile; it is left as it is"]
