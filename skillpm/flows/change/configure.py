"""`config set` and `config unset`: edit single settings of skillpm.toml or of the user's file."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skillpm.checkpoint.find_model import find_model
from skillpm.environment.edit_settings import TomlPath, edit_values
from skillpm.environment.project import ProjectFolder
from skillpm.environment.search import PROJECT_FILE
from skillpm.environment.transaction import update_file, writing
from skillpm.errors import SkillpmError, SpecError, StateError, UsageError
from skillpm.files.folder import Folder
from skillpm.files.named import expanded
from skillpm.flows.change.init import recorded_base
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.journal.atomic import sweep_strays, write_atomic
from skillpm.journal.lock import Say, hold_lock
from skillpm.spec import toml
from skillpm.spec.hub import PREFIX
from skillpm.spec.location import RegistryLocation
from skillpm.spec.merging import SUM
from skillpm.spec.project import parse_project
from skillpm.spec.settings import METHOD, check_file, place_of


@dataclass(frozen=True)
class SettingsChange:
    """The file that was changed, the new values, and the settings that were removed.

    `dropped` are the settings of the merging method before, which a new method drops.
    `stale` is the reason why `skillpm install` has to lock again; None if it need not. `notes` are
    messages for the user.
    """

    file: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    dropped: Mapping[str, Any] = field(default_factory=dict)
    stale: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SettingsLock:
    """How to wait for the lock of a file: the command, the longest wait in seconds, messages."""

    command: str
    timeout: float
    say: Say
    home: Path


def configure_project(
    folder: Path, values: Mapping[str, Any], removed: Sequence[str], lock: SettingsLock
) -> SettingsChange:
    """Edit skillpm.toml under the project's lock, in one atomic write; comments stay.

    The whole file is checked before it is written. Raises `NotFoundError` if the folder is not a
    project, `SpecError` if the edited file would be invalid, `StateError` if another program edits
    the file meanwhile.
    """
    project = ProjectFolder(folder)
    if not (project.has_file or project.was_cut_off):
        project.read_text(project.file)  # raises `NotFoundError`
    with writing(project, lock.command, timeout=lock.timeout, say=lock.say, home=lock.home):
        text = project.read_text(project.file)
        dropped = _foreign(text, values, removed)
        paths = [place_of(key, user=False) for key in (*removed, *dropped)]
        placed = {place_of(key, user=False): _portable(key, values[key], folder) for key in values}
        edited = edit_values(text, placed, paths, PROJECT_FILE)
        _check(edited, text, PROJECT_FILE, user=False)
        if project.read_text(project.file) != text:
            raise _moved(project.file)
        update_file(project, project.file, edited)
    shown = {key: placed[place_of(key, user=False)] for key in values}
    gone, notes = _present(text, removed), tuple(_notes(values))
    return SettingsChange(project.file, shown, gone, dropped, _stale(project), notes)


def configure_user(
    path: Path, values: Mapping[str, Any], removed: Sequence[str], lock: SettingsLock
) -> SettingsChange:
    """Edit the user's configuration file under its lock, in one atomic write; a link is followed.

    Raises `SpecError` if the edited file would be invalid, `StateError` if it cannot be written or
    another program edits it meanwhile.
    """
    real, what = path.resolve(), f"`{path}`"
    placed: dict[TomlPath, Any] = {
        (key,): _portable(key, value, None) for key, value in values.items()
    }

    def edit() -> tuple[str, str]:
        """The text of the file, before and after the edit."""
        text = _user_text(real)
        edited = edit_values(text, placed, [(key,) for key in removed], what)
        _check(edited, text, what, user=True)
        return text, edited

    text, edited = edit()
    if edited != text:
        with _user_lock(real, what, lock):
            text, edited = edit()  # another command may have edited it before the lock was free
            if _user_text(real) != text:
                raise _moved(path)
            write_atomic(real, edited.encode(), private=True)
    gone = tuple(key for key in removed if key in toml.parse(text, what))
    shown = {key: placed[key,] for key in values}
    return SettingsChange(path, shown, gone, notes=tuple(_notes(values)))


@contextmanager
def _user_lock(path: Path, what: str, lock: SettingsLock) -> Iterator[None]:
    """Hold the lock of the user's file, whose files are beside it, while the block runs.

    Creates the folder of the file. Removes the temporary file of a killed `config set`.
    """
    prefix = f".{path.name}."
    with (
        Folder.open(path.parent, create=True) as folder,
        hold_lock(
            folder, lock.command, timeout=lock.timeout, say=lock.say, what=what, prefix=prefix
        ),
    ):
        sweep_strays(folder, suffixes=(path.name,))
        yield


def _check(edited: str, text: str, what: str, *, user: bool) -> None:
    """Check a file as it would be. Raises `UsageError` if the edit makes it invalid.

    Raises `SpecError` if it was invalid before, and the edit does not correct it.
    """
    try:
        check_file(edited, f"{what} with this change", user=user)
    except SpecError as problem:
        check_file(text, what, user=user)
        hint = "`skillpm config show` lists the settings"
        if "graft.settings" in problem.message:
            hint = (
                "`skillpm config set graft.method ties graft.density 0.3` sets method and density"
            )
        raise UsageError(f"{problem.message}\nnothing was written", hint=hint) from problem


def _user_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as problem:
        raise StateError(f"`{path}` cannot be read: {problem}") from problem


def _moved(path: Path) -> StateError:
    return StateError(
        f"`{path}` changed while the command was running; nothing was written",
        hint="run the command again",
    )


def _table(text: str, *names: str) -> Mapping[str, Any]:
    """A table of skillpm.toml; empty if it is missing or is no table."""
    table: Any = toml.parse(text, PROJECT_FILE)
    for name in names:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    return table if isinstance(table, dict) else {}


def _foreign(text: str, values: Mapping[str, Any], removed: Sequence[str]) -> dict[str, Any]:
    """The settings of the merging method before, if the method changes and no value replaces them.

    A setting of the same name has another meaning and another default for another method.
    """
    before = _table(text, "graft").get("method", SUM)
    after = SUM if METHOD in removed else values.get(METHOD, before)
    present = _table(text, "graft", "settings") if after != before else {}
    settings = {f"graft.{name}": value for name, value in present.items()}
    return {key: value for key, value in settings.items() if key not in (*values, *removed)}


def _present(text: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Those keys that the file has."""
    places = {key: place_of(key, user=False) for key in keys}
    return tuple(key for key, place in places.items() if place[-1] in _table(text, *place[:-1]))


def _portable(key: str, value: Any, project: Path | None) -> Any:
    """A path that holds in the file: in skillpm.toml relative to the project, else absolute.

    A value that is no path of this machine stays as it was given.
    """
    if key == "base":
        return _portable_base(value, project)
    if key == "registry":
        location = RegistryLocation.parse(value)
        is_own = location.is_path and not value.startswith(("/", "~"))
        if is_own and project is not None:
            return os.path.relpath(Path(value).absolute(), project)
        return str(Path(value).absolute()) if is_own else value
    return value


def _portable_base(value: str, project: Path | None) -> str:
    """A base that holds in the file: a path, or a model of the Hugging Face cache by name."""
    found = Path(value)
    with suppress(SkillpmError):
        found = find_model(found)
    found = expanded(found)
    if not found.is_dir():
        return value
    recorded = recorded_base(found, project or Path.cwd())
    return recorded if project is not None or recorded.startswith(PREFIX) else str(found.resolve())


def _notes(values: Mapping[str, Any]) -> Iterator[str]:
    base = values.get("base")
    if base is not None and not base.startswith(PREFIX) and not expanded(base).exists():
        yield f"note: there is no folder `{base}` here"


def _stale(project: ProjectFolder) -> str | None:
    """The reason why the lock no longer fits skillpm.toml; None without a lock."""
    try:
        lock = project.read_lock()
        file = parse_project(project.read_text(project.file))
    except SkillpmError:  # the command that reads them reports it
        return None
    return None if lock is None else stale_reason(file, lock)
