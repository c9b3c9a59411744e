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

from skillpm.environment.generation import LAST_NUMBER, Generation
from skillpm.environment.intents import (
    DamagedJournalError,
    JournaledFile,
    SwitchIntent,
    parse_intent,
)
from skillpm.environment.project import GENERATIONS, JOURNAL, POINTER, ProjectFolder
from skillpm.environment.swaps import clear_journal, recover_inside, recover_outside
from skillpm.errors import StateError
from skillpm.files.folder import Folder
from skillpm.journal.atomic import signals_ignored, sweep_strays
from skillpm.journal.lock import HOLDER, hold_lock
from skillpm.spec import json
from skillpm.spec.digests import Digest

Say = Callable[[str], None]
IGNORE = ".gitignore"


@contextmanager
def writing(
    project: ProjectFolder, command: str, *, timeout: float, say: Say, home: Path | None = None
) -> Iterator[Generation | None]:
    """Hold the project's lock, after completing or undoing what was cut off.

    Gives the generation that was completed so, if one was: where the same command is repeated, its
    work is done. `home` has the records of grafts outside the project.
    """
    with project.open_state(create=True) as state:
        state.subfolder(GENERATIONS, create=True).close()
        with hold_lock(state, command, timeout=timeout, say=say):
            yield recover(project, say, home)


def commit(project: ProjectFolder, generation: Generation, files: Mapping[Path, str]) -> None:
    """Switch to a new generation, and let project file and lock follow."""
    if generation.number > LAST_NUMBER:
        raise StateError(f"`{project.pointer}` has the last number that a generation can have")
    changed = {path: text for path, text in files.items() if _digest(project, path) != _of(text)}
    intent = SwitchIntent(
        number=generation.number,
        files=[
            JournaledFile.model_validate(
                {"name": path.name, "before": _digest(project, path), "after": text}
            )
            for path, text in changed.items()
        ],
    )
    with signals_ignored():  # interrupted here, a command would say so of a change that is made
        with project.open_state() as state:
            if generation.number == 0 and not state.has(IGNORE):
                state.write(IGNORE, b"*\n")  # the environment is this machine's own
            state.write(JOURNAL, json.canonical(intent.to_dict()))
            with state.subfolder(GENERATIONS) as generations:
                generations.write(f"{generation.number}.json", generation.dumps())
            state.write(POINTER, f"{generation.number}\n".encode())
        for path, text in changed.items():
            project.write_file(path.name, text)
        clear_journal(project)


def update_file(project: ProjectFolder, path: Path, text: str) -> None:
    """Replace one project file alone, where no generation changes with it."""
    if _digest(project, path) != _of(text):
        project.write_file(path.name, text)


def recover(project: ProjectFolder, say: Say, home: Path | None = None) -> Generation | None:
    """Complete or undo what a killed command left; give the generation that was completed.

    Call it under the lock. Raises `StateError` where the journal is none of skillpm's: nothing is
    touched then.
    """
    _sweep(project)
    for note in recover_outside(project, home) if home else ():
        say(note)
    data = project.find_state(JOURNAL)
    if data is None:
        return None
    intent = parse_intent(data, project.journal)
    switched = isinstance(intent, SwitchIntent)
    if isinstance(intent, SwitchIntent):
        done = _recover_switch(project, intent)
    else:
        done = recover_inside(project, intent)
    for note in done:
        say(note)
    clear_journal(project)
    return project.generation() if done and switched else None


def check_journal(project: ProjectFolder) -> None:
    """Raise `StateError` where the next command could not complete or undo what was cut off."""
    data = project.find_state(JOURNAL)
    if data is None:
        return
    intent = parse_intent(data, project.journal)
    if isinstance(intent, SwitchIntent):
        _check_number(project, intent)


_OUTPUTS = (".skillpack", ".skillbundle")
"""Files that commands write into a project's folder, where other programs' files lie too."""


def _sweep(project: ProjectFolder) -> None:
    with project.open_state() as state, state.subfolder(GENERATIONS) as generations:
        sweep_strays(state, (POINTER, JOURNAL, HOLDER, IGNORE))
        sweep_strays(generations)
    with Folder.open(project.folder) as folder:
        sweep_strays(folder, (project.file.name, project.lock_file.name), suffixes=_OUTPUTS)


def _recover_switch(project: ProjectFolder, intent: SwitchIntent) -> list[str]:
    current = _check_number(project, intent)
    if intent.number == current + 1:
        with project.open_state() as state, state.subfolder(GENERATIONS) as generations:
            generations.remove(f"{intent.number}.json")
        return []
    notes = [f"completed generation {intent.number}, which was cut off"]
    for file in intent.files:
        path = project.folder / file.name
        found = _digest(project, path)
        if found == (None if file.before is None else str(file.before)):
            project.write_file(file.name, file.after)
        elif found != _of(file.after):
            notes.append(f"{file.name} was edited since: it is left as it is")
    return notes


def _check_number(project: ProjectFolder, intent: SwitchIntent) -> int:
    """The current generation, -1 without one. Raises `StateError` for a switch to another."""
    current = project.current() if project.has_environment else -1
    if intent.number not in (current, current + 1):
        raise DamagedJournalError(
            project.journal,
            f"`number` should be {current} or {current + 1}, is {intent.number}",
        )
    return current


def _digest(project: ProjectFolder, path: Path) -> str | None:
    data = project.find_file(path.name)
    return None if data is None else str(Digest.of(data))


def _of(text: str) -> str:
    return str(Digest.of(text.encode()))
