"""Where a project keeps things, and what it says now. Reading writes nothing."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from skillpm.environment.generation import LAST_NUMBER, Generation, parse_generation
from skillpm.environment.linked import real_file
from skillpm.errors import IntegrityError, NotFoundError, SkillpmError, SpecError
from skillpm.files.errors import MissingFileError
from skillpm.files.folder import READ_LIMIT, Folder
from skillpm.journal.lock import HOLDER
from skillpm.journal.owner import Owner, read_owner
from skillpm.spec.conflict import ConflictMarkerError
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, Lockfile, parse_lockfile
from skillpm.spec.plan import Basis
from skillpm.spec.project import ProjectFile, parse_project

PROJECT_FILE = "skillpm.toml"
LOCK_FILE = "skillpm.lock"
STATE = ".skillpm"
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
        """Generations, pointer, journal and lock of the environment; for messages."""
        return self.folder / STATE

    @property
    def pointer(self) -> Path:
        """The number of the current generation: the truth; for messages."""
        return self.state / POINTER

    @property
    def journal(self) -> Path:
        """What a command that was cut off was about to do; for messages."""
        return self.state / JOURNAL

    def generation_file(self, number: int) -> Path:
        """The file of one generation; for messages."""
        return self.state / GENERATIONS / f"{number}.json"

    @contextmanager
    def open_state(self, *, create: bool = False) -> Iterator[Folder]:
        """`.skillpm`, open. Raises `MissingFileError`, and `StateError` where it is a link."""
        with Folder.open(self.folder) as folder, folder.subfolder(STATE, create=create) as state:
            yield state

    @property
    def is_writable(self) -> bool:
        """Whether this user may change what is in `.skillpm`."""
        try:
            with self.open_state() as state:
                return os.access(".", os.W_OK, dir_fd=state.fd)
        except SkillpmError:
            return False

    def find_state(self, name: str, *, limit: int = READ_LIMIT) -> bytes | None:
        """A file of `.skillpm`; None where there is none. Raises as `Folder.read` does."""
        try:
            with self.open_state() as state:
                return state.find(name, limit=limit)
        except MissingFileError:
            return None

    def holder(self) -> Owner | None:
        """Whose name the lock of the project bears; None where it bears none."""
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
        """Whether anything was ever installed here, or `init` made generation 0."""
        return self._has_state(POINTER)

    @property
    def was_cut_off(self) -> bool:
        """Whether a journal is there: the next writing command completes or undoes it."""
        return self._has_state(JOURNAL)

    @property
    def has_file(self) -> bool:
        """Whether there is a `skillpm.toml`, whatever it is."""
        return self._has(PROJECT_FILE)

    @property
    def has_lock(self) -> bool:
        """Whether there is a `skillpm.lock`, whatever it is."""
        return self._has(LOCK_FILE)

    def _has(self, name: str) -> bool:
        try:
            with Folder.open(self.folder) as folder:
                return folder.has(name)
        except MissingFileError:
            return False

    def find_file(self, name: str) -> bytes | None:
        """The bytes of the project file or the lock; None where there is none."""
        try:
            with Folder.open(self.folder) as folder, real_file(folder, name) as (place, real):
                return place.find(real)
        except MissingFileError:
            return None

    def write_file(self, name: str, text: str) -> None:
        """Replace the project file or the lock in one rename. Raises `StateError`."""
        with Folder.open(self.folder) as folder, real_file(folder, name) as (place, real):
            place.write(real, text.encode())

    def read_file(self) -> ProjectFile:
        """`skillpm.toml`, parsed. Raises `NotFoundError` where there is no project."""
        try:
            return parse_project(self.read_text(self.file))
        except ConflictMarkerError as problem:
            problem.hint = "keep one side of each conflict by hand; then `skillpm lock`"
            raise

    def require(self) -> Self:
        """Raise `NotFoundError` unless this is a project, or was about to become one."""
        if not self.was_cut_off:
            self.read_file()
        return self

    def read_text(self, path: Path) -> str:
        """The text of the project file or the lock."""
        data = self.find_file(path.name)
        if data is None:
            raise NotFoundError(
                f"there is no `{path.name}` in `{self.folder}`: it is not a project",
                hint="`skillpm init --base PATH` makes one",
            )
        try:
            return data.decode()
        except UnicodeDecodeError as problem:
            raise SpecError(f"`{path}` is not UTF-8") from problem

    def read_lock(self) -> Lockfile | None:
        """`skillpm.lock`, parsed; None where there is none."""
        if not self.has_lock:
            return None
        try:
            return parse_lockfile(self.read_text(self.lock_file))
        except SpecError as problem:
            problem.hint = problem.hint or "`skillpm lock` writes it anew"
            raise

    def current(self) -> int:
        """The number of the current generation; 0 where nothing was ever installed here."""
        data = self.find_state(POINTER, limit=_POINTER_LIMIT)
        if data is None:
            self.read_file()
            return 0
        text = data.decode(errors="replace")
        if _NUMBER.fullmatch(text.strip()) is None:
            raise IntegrityError(
                f"`{self.pointer}` should hold a number up to {LAST_NUMBER}, holds {len(data)} "
                "bytes that are none"
            )
        return int(text)

    def generation(self, number: int | None = None) -> Generation:
        """One generation; the current where no number is given."""
        current = self.current()
        wanted = current if number is None else number
        data = self._generation_bytes(wanted) if 0 <= wanted <= current else None
        if data is None:
            if wanted == current == 0 and not self.has_environment:
                return first_generation(self.read_file(), "")
            if wanted == current:
                raise IntegrityError(
                    f"`{self.pointer}` names generation {current}, which is missing",
                    hint="write a number of `.skillpm/generations` into `.skillpm/current`",
                )
            raise NotFoundError(
                f"there is no generation {wanted}; the current is {current}",
                hint="`skillpm history` lists them",
            )
        found = parse_generation(data, f"generation {wanted}")
        if found.number != wanted:
            raise IntegrityError(
                f"`{self.generation_file(wanted)}` should be generation {wanted}, "
                f"says that it is {found.number}"
            )
        return found

    def _generation_bytes(self, number: int) -> bytes | None:
        try:
            with self.open_state() as state, state.subfolder(GENERATIONS) as folder:
                return folder.find(f"{number}.json")
        except MissingFileError:
            return None

    def all_generations(self) -> Iterator[Generation]:
        """Every generation on disk, one that a cut-off command was about to switch to as well."""
        for number in self.numbers():
            data = self._generation_bytes(number)
            if data is not None:
                yield parse_generation(data, f"`{self.generation_file(number)}`")

    def numbers(self) -> list[int]:
        """The number of every generation on disk, ascending. Other names are not looked at."""
        try:
            with self.open_state() as state, state.subfolder(GENERATIONS) as folder:
                stems = [n.removesuffix(".json") for n in folder.names() if n.endswith(".json")]
        except MissingFileError:
            return []
        return sorted(int(stem) for stem in stems if _NUMBER.fullmatch(stem))

    def generations(self) -> list[Generation]:
        """Every generation that is still there, up to the current, oldest first."""
        if not self.has_environment:
            return [self.generation()]
        current = self.current()
        return [self.generation(number) for number in self.numbers() if number <= current]


def first_generation(file: ProjectFile, created: str) -> Generation:
    """Generation 0: nothing is installed."""
    base = LockedBase(name=Path(file.project.base).name, root=file.root)
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


def wishes_of(file: ProjectFile) -> dict[str, object]:
    """`[skills]` as plain values, as a generation keeps it."""
    return {name: wish.model_dump(exclude_none=True) for name, wish in sorted(file.skills.items())}


def basis_of(project: ProjectFolder) -> Basis:
    """The state that a plan made now is made from."""
    text = project.read_text(project.file)
    lock = project.read_text(project.lock_file) if project.has_lock else None
    return Basis(
        generation=project.current(),
        base_root=parse_project(text).root,
        project_file=Digest.of(text.encode()),
        lock=None if lock is None else Digest.of(lock.encode()),
    )
