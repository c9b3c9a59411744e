"""The files of a project, and reading them. Reading never writes."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from skillpm.environment.generation import LAST_NUMBER, Generation, parse_generation
from skillpm.environment.project_links import real_file
from skillpm.environment.search import LOCK_FILE, PROJECT_FILE, STATE
from skillpm.errors import IntegrityError, NotFoundError, SkillpmError, SpecError
from skillpm.files.errors import MissingFileError
from skillpm.files.folder import READ_LIMIT, Folder
from skillpm.journal.atomic import kept_mode
from skillpm.journal.owner import HOLDER, Owner, read_owner
from skillpm.spec.conflict import ConflictMarkerError
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, Lockfile, parse_lockfile
from skillpm.spec.plan import Basis
from skillpm.spec.project import ProjectFile, parse_project

POINTER = "current"
JOURNAL = "journal.json"
GENERATIONS = "generations"
_POINTER_LIMIT = 1000
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True)
class ProjectFolder:
    """A folder with `skillpm.toml`, `skillpm.lock` and `.skillpm/`."""

    folder: Path

    @property
    def file(self) -> Path:
        """`skillpm.toml`."""
        return self.folder / PROJECT_FILE

    @property
    def lock_file(self) -> Path:
        """`skillpm.lock`."""
        return self.folder / LOCK_FILE

    @property
    def state(self) -> Path:
        """The path of `.skillpm`, the environment's state. Use it in messages only."""
        return self.folder / STATE

    @property
    def pointer(self) -> Path:
        """The path of the file with the current generation's number. Use it in messages only."""
        return self.state / POINTER

    @property
    def journal(self) -> Path:
        """The path of the journal of an interrupted command. Use it in messages only."""
        return self.state / JOURNAL

    def generation_file(self, number: int) -> Path:
        """The path of a generation's file. Use it in messages only."""
        return self.state / GENERATIONS / f"{number}.json"

    @contextmanager
    def open_state(self, *, create: bool = False) -> Iterator[Folder]:
        """Open `.skillpm`. Raises `MissingFileError`, and `StateError` for a symbolic link."""
        with Folder.open(self.folder) as folder, folder.subfolder(STATE, create=create) as state:
            yield state

    @property
    def is_writable(self) -> bool:
        """Whether this user may create and remove files in `.skillpm`."""
        try:
            with self.open_state() as state:
                return os.access(".", os.W_OK, dir_fd=state.fd)
        except SkillpmError:
            return False

    def find_state(self, name: str, *, limit: int = READ_LIMIT) -> bytes | None:
        """The content of a file in `.skillpm`; None if it is missing.

        Raises the errors of `Folder.read`.
        """
        try:
            with self.open_state() as state:
                return state.find(name, limit=limit)
        except MissingFileError:
            return None

    def holder(self) -> Owner | None:
        """The process recorded as the holder of the project's lock; None if there is no record."""
        try:
            with self.open_state() as state:
                return read_owner(state, HOLDER)
        except MissingFileError:
            return None

    def _has_state(self, name: str) -> bool:
        try:
            with self.open_state() as state:
                return state.has(name)
        except MissingFileError:
            return False

    @property
    def has_environment(self) -> bool:
        """Whether the project has a current generation: one was installed, or made by `init`."""
        return self._has_state(POINTER)

    @property
    def was_cut_off(self) -> bool:
        """Whether a command was interrupted and left its journal.

        The next command that changes the project completes or undoes the interrupted change.
        """
        return self._has_state(JOURNAL)

    @property
    def has_file(self) -> bool:
        """Whether anything, even a folder or a broken link, has the name `skillpm.toml`."""
        return self._has(PROJECT_FILE)

    @property
    def has_lock(self) -> bool:
        """Whether anything, even a folder or a broken link, has the name `skillpm.lock`."""
        return self._has(LOCK_FILE)

    def _has(self, name: str) -> bool:
        try:
            with Folder.open(self.folder) as folder:
                return folder.has(name)
        except MissingFileError:
            return False

    def find_file(self, name: str) -> bytes | None:
        """The bytes of the project file or the lock; None if the file is missing."""
        try:
            with Folder.open(self.folder) as folder, real_file(folder, name) as (place, real):
                return place.find(real)
        except MissingFileError:
            return None

    def write_file(self, name: str, text: str) -> None:
        """Replace project file or lock by a rename; permissions stay. Raises `StateError`."""
        with Folder.open(self.folder) as folder, real_file(folder, name) as (place, real):
            place.write(real, text.encode(), mode=kept_mode(place, real))

    def read_file(self) -> ProjectFile:
        """Parse `skillpm.toml`. Raises `NotFoundError` if the file is missing."""
        try:
            return parse_project(self.read_text(self.file))
        except ConflictMarkerError as problem:
            problem.hint = (
                "edit the file to keep one side of each conflict, then run `skillpm lock`"
            )
            raise

    def require(self) -> Self:
        """Return the project. Raises `NotFoundError` if the folder has no `skillpm.toml`.

        A folder with a journal passes: completing the interrupted `init` writes `skillpm.toml`.
        """
        if not self.was_cut_off:
            self.read_file()
        return self

    def read_text(self, path: Path) -> str:
        """The text of the project file or the lock."""
        data = self.find_file(path.name)
        if data is None:
            raise NotFoundError(
                f"there is no `{path.name}` in `{self.folder}`: it is not a project",
                hint="`skillpm init --base ./model` creates a project",
            )
        try:
            return data.decode()
        except UnicodeDecodeError as problem:
            raise SpecError(f"`{path}` is not UTF-8") from problem

    def read_lock(self) -> Lockfile | None:
        """Parse `skillpm.lock`; None if the file is missing."""
        if not self.has_lock:
            return None
        try:
            return parse_lockfile(self.read_text(self.lock_file))
        except SpecError as problem:
            problem.hint = problem.hint or "`skillpm lock` writes a new lock"
            raise

    def current(self) -> int:
        """The number of the current generation; 0 if nothing has been installed yet."""
        data = self.find_state(POINTER, limit=_POINTER_LIMIT)
        if data is None:
            self.read_file()
            return 0
        text = data.decode(errors="replace")
        if _NUMBER.fullmatch(text.strip()) is None:
            raise IntegrityError(
                f"`{self.pointer}` should hold a number up to {LAST_NUMBER}, but its {len(data)} "
                "bytes are not such a number"
            )
        return int(text)

    def generation(self, number: int | None = None) -> Generation:
        """A generation by its number; by default the current one.

        Raises `NotFoundError` for an unknown number, `IntegrityError` if the file of the current
        generation is missing or a file holds another generation than its name states.
        """
        current = self.current()
        wanted = current if number is None else number
        data = self._generation_bytes(wanted) if 0 <= wanted <= current else None
        if data is None:
            if wanted == current == 0 and not self.has_environment:
                return first_generation(self.read_file(), "")
            if wanted == current:
                raise IntegrityError(
                    f"`{self.pointer}` names generation {current}, which is missing",
                    hint="`ls .skillpm/generations` lists the numbers of the existing generations; "
                    "write one of them into `.skillpm/current`",
                )
            raise NotFoundError(
                f"there is no generation {wanted}; the current generation is {current}",
                hint="`skillpm history` lists all generations",
            )
        found = parse_generation(data, f"generation {wanted}")
        if found.number != wanted:
            raise IntegrityError(
                f"`{self.generation_file(wanted)}` should hold generation {wanted}, "
                f"holds generation {found.number}"
            )
        return found

    def _generation_bytes(self, number: int) -> bytes | None:
        try:
            with self.open_state() as state, state.subfolder(GENERATIONS) as folder:
                return folder.find(f"{number}.json")
        except MissingFileError:
            return None

    def all_generations(self) -> Iterator[Generation]:
        """Every generation on disk, including one that an interrupted command has written."""
        for number in self.numbers():
            data = self._generation_bytes(number)
            if data is not None:
                yield parse_generation(data, f"`{self.generation_file(number)}`")

    def numbers(self) -> list[int]:
        """The numbers of all generations on disk, ascending. Files of other names are ignored."""
        try:
            with self.open_state() as state, state.subfolder(GENERATIONS) as folder:
                stems = [n.removesuffix(".json") for n in folder.names() if n.endswith(".json")]
        except MissingFileError:
            return []
        return sorted(int(stem) for stem in stems if _NUMBER.fullmatch(stem))

    def generations(self) -> list[Generation]:
        """All generations on disk up to the current one, oldest first."""
        if not self.has_environment:
            return [self.generation()]
        current = self.current()
        return [self.generation(number) for number in self.numbers() if number <= current]


def first_generation(file: ProjectFile, created: str) -> Generation:
    """Generation 0, in which no skill is installed."""
    base = LockedBase(name=file.base_name, root=file.root)
    lock = Lockfile(base=base, graft=LockedGraft.of(file.graft))
    return Generation(
        number=0,
        created=created,
        action="init",
        base_root=file.root,
        skills=[],
        wishes={},
        lock=lock.dumps(),
    )


def requirements_table(file: ProjectFile) -> dict[str, object]:
    """The `[skills]` table as JSON values, in the form in which a generation records it."""
    table = sorted(file.skills.items())
    return {name: requirement.model_dump(exclude_none=True) for name, requirement in table}


def basis_of(project: ProjectFolder) -> Basis:
    """The project's present state, which a new plan records as its starting point."""
    text = project.read_text(project.file)
    lock = project.read_text(project.lock_file) if project.has_lock else None
    return Basis(
        generation=project.current(),
        base_root=parse_project(text).root,
        project_file=Digest.of(text.encode()),
        lock=None if lock is None else Digest.of(lock.encode()),
    )
