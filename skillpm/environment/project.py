"""Where a project keeps things, and what it says now. Reading writes nothing."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.environment.generation import Generation, parse_generation
from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError
from skillpm.spec.conflict import ConflictMarkerError
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, Lockfile, parse_lockfile
from skillpm.spec.plan import Basis
from skillpm.spec.project import ProjectFile, parse_project

PROJECT_FILE = "skillpm.toml"
LOCK_FILE = "skillpm.lock"


@dataclass(frozen=True)
class Project:
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
        """Generations, pointer, journal and lock of the environment."""
        return self.folder / ".skillpm"

    @property
    def pointer(self) -> Path:
        """The number of the current generation: the truth."""
        return self.state / "current"

    @property
    def journal(self) -> Path:
        """What a command that was cut off was about to do."""
        return self.state / "journal.json"

    def generation_file(self, number: int) -> Path:
        """The file of one generation."""
        return self.state / "generations" / f"{number}.json"

    def read_file(self) -> ProjectFile:
        """`skillpm.toml`, parsed. Raises `NotFoundError` where there is no project."""
        try:
            return parse_project(self.read_text(self.file))
        except ConflictMarkerError as problem:
            problem.hint = "keep one side of each conflict by hand; then `skillpm lock`"
            raise

    def require(self) -> None:
        """Raise `NotFoundError` unless this is a project, or was about to become one."""
        if not self.journal.exists():
            self.read_file()

    def read_text(self, path: Path) -> str:
        """The text of the project file or the lock."""
        try:
            return path.read_bytes().decode()
        except FileNotFoundError as problem:
            raise NotFoundError(
                f"there is no `{path.name}` in `{self.folder}`: it is not a project",
                hint="`skillpm init --base PATH` makes one",
            ) from problem
        except UnicodeDecodeError as problem:
            raise SpecError(f"`{path}` is not UTF-8") from problem
        except OSError as problem:
            raise StateError(f"`{path}` cannot be read: {problem.strerror}") from problem

    def read_lock(self) -> Lockfile | None:
        """`skillpm.lock`, parsed; None where there is none."""
        if not self.lock_file.exists():
            return None
        try:
            return parse_lockfile(self.read_text(self.lock_file))
        except SpecError as problem:
            problem.hint = problem.hint or "`skillpm lock` writes it anew"
            raise

    def current(self) -> int:
        """The number of the current generation; 0 where nothing was ever installed here."""
        try:
            text = self.pointer.read_text()
        except FileNotFoundError:
            self.read_file()
            return 0
        except OSError as problem:
            raise StateError(f"`{self.pointer}` cannot be read: {problem.strerror}") from problem
        if not text.strip().isascii() or not text.strip().isdigit():
            raise IntegrityError(f"`{self.pointer}` should hold a number, holds {text[:40]!r}")
        return int(text)

    def generation(self, number: int | None = None) -> Generation:
        """One generation; the current where no number is given."""
        current = self.current()
        wanted = current if number is None else number
        path = self.generation_file(wanted)
        if wanted == current == 0 and not self.pointer.exists():
            return first_generation(self.read_file(), "")
        if not 0 <= wanted <= current or not path.exists():
            raise NotFoundError(
                f"there is no generation {wanted}; the current is {current}",
                hint="`skillpm history` lists them",
            )
        try:
            return parse_generation(path.read_bytes(), f"generation {wanted}")
        except OSError as problem:
            raise StateError(f"`{path}` cannot be read: {problem.strerror}") from problem

    def generations(self) -> list[Generation]:
        """Every generation that is still there, up to the current, oldest first."""
        if not self.pointer.exists():
            return [self.generation()]
        numbers = range(self.current() + 1)
        return [self.generation(n) for n in numbers if self.generation_file(n).exists()]


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


def drift(project: Project) -> list[str]:
    """How project file and lock have run ahead of the environment, in sentences."""
    current = project.generation()
    notes: list[str] = []
    try:
        file, lock = project.read_file(), project.read_lock()
    except (SpecError, NotFoundError, StateError) as problem:
        return [problem.message]
    if project.journal.exists():
        notes.append("a command was cut off; the next writing command completes or undoes it")
    if lock is None:
        notes.append(f"{LOCK_FILE} is missing; `skillpm install` writes it")
    elif not lock.same_set(current.lockfile):
        notes.append(f"{LOCK_FILE} runs ahead of what is installed; `skillpm install` applies it")
    if wishes_of(file) != current.wishes:
        notes.append(f"{PROJECT_FILE} asks for other skills; `skillpm install` applies it")
    return notes


def wishes_of(file: ProjectFile) -> dict[str, object]:
    """`[skills]` as plain values, as a generation keeps it."""
    return {name: wish.model_dump(exclude_none=True) for name, wish in sorted(file.skills.items())}


def basis_of(project: Project) -> Basis:
    """The state that a plan made now is made from."""
    text = project.read_text(project.file)
    lock = project.read_text(project.lock_file) if project.lock_file.exists() else None
    return Basis(
        generation=project.current(),
        base_root=parse_project(text).root,
        project_file=Digest.of(text.encode()),
        lock=None if lock is None else Digest.of(lock.encode()),
    )
