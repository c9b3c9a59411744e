"""Changing an environment: one rename switches it, a journal carries the files along (law 4).

1. the journal says which generation comes and what both files were and will be;
2. the generation is written under its number;
3. the pointer is renamed: this is the change;
4. project file and lock follow;
5. the journal goes.

Cut off before 3, the next writing command removes the generation; after 3, it completes 4. A file
that was edited since is never overwritten.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skillpm.environment.generation import Generation
from skillpm.environment.project import Project
from skillpm.environment.swap import GRAFT, recover_swap
from skillpm.errors import SpecError, StateError
from skillpm.journal.atomic import remove_strays, sync_folder, undisturbed, write_atomic
from skillpm.journal.lock import held
from skillpm.spec import json
from skillpm.spec.digests import Digest

Say = Callable[[str], None]
SWITCH = "switch"


@contextmanager
def writing(
    project: Project, command: str, *, timeout: float, say: Say
) -> Iterator[Generation | None]:
    """Hold the project's lock, after completing or undoing what was cut off.

    Gives the generation that was completed so, if one was: where the same command is repeated, its
    work is done.
    """
    try:
        (project.state / "generations").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise StateError(f"`{project.state}` cannot be made: {problem.strerror}") from problem
    with held(project.state, command, timeout=timeout, say=say):
        yield recover(project, say)


def commit(project: Project, generation: Generation, files: Mapping[Path, str]) -> None:
    """Switch to a new generation, and let project file and lock follow."""
    changed = {path: text for path, text in files.items() if _digest(path) != _of(text)}
    plain = {
        "kind": SWITCH,
        "number": generation.number,
        "files": [
            {"name": path.name, "before": _digest(path), "after": text}
            for path, text in changed.items()
        ],
    }
    with undisturbed():  # interrupted here, a command would say so of a change that is made
        write_journal(project, plain)
        write_atomic(project.generation_file(generation.number), generation.dumps())
        write_atomic(project.pointer, f"{generation.number}\n".encode())
        for path, text in changed.items():
            write_atomic(path, text.encode())
        clear_journal(project)


def update_file(path: Path, text: str) -> None:
    """Replace one file alone, where no generation changes with it."""
    if _digest(path) != _of(text):
        write_atomic(path, text.encode())


def write_journal(project: Project, plain: dict[str, Any]) -> None:
    """State an intent, on disk when this returns."""
    write_atomic(project.journal, json.canonical(plain))


def clear_journal(project: Project) -> None:
    """The intent is carried out, or undone."""
    project.journal.unlink(missing_ok=True)
    sync_folder(project.state)


def recover(project: Project, say: Say) -> Generation | None:
    """Complete or undo what a killed command left; give the generation that was completed.

    Call it under the lock.
    """
    remove_strays(project.state, (project.pointer.name, project.journal.name))
    for folder in (project.state / "generations", project.folder):
        remove_strays(folder, (project.file.name, project.lock_file.name))
    if not project.journal.exists():
        return None
    try:
        plain = json.parse_object(project.journal.read_bytes(), "the journal")
        done = recover_swap(plain) if plain["kind"] == GRAFT else _recover_switch(project, plain)
    except (SpecError, KeyError, TypeError) as problem:
        raise StateError(
            f"`{project.journal}` is damaged: {problem}",
            hint="look at skillpm.toml and skillpm.lock, then remove the journal",
        ) from problem
    for note in done:
        say(note)
    clear_journal(project)
    return project.generation() if done and plain["kind"] == SWITCH else None


def _recover_switch(project: Project, plain: dict[str, Any]) -> list[str]:
    number = plain["number"]
    current = project.current() if project.pointer.exists() else -1
    if current != number:
        project.generation_file(number).unlink(missing_ok=True)
        return []
    notes = [f"completed generation {number}, which was cut off"]
    for file in plain["files"]:
        path = project.folder / Path(file["name"]).name
        found = _digest(path)
        if found == file["before"]:
            write_atomic(path, file["after"].encode())
        elif found != _of(file["after"]):
            notes.append(f"{path.name} was edited since: it is left as it is")
    return notes


def _digest(path: Path) -> str | None:
    try:
        return str(Digest.of(path.read_bytes()))
    except FileNotFoundError:
        return None


def _of(text: str) -> str:
    return str(Digest.of(text.encode()))
