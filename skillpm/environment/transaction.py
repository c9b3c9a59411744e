"""Transactions on an environment (law 4): one rename switches it to a new generation.

1. Write the journal: the number of the new generation, the digests of the project file and the lock
   before the change, and their texts after it.
2. Write the file of the new generation.
3. Rename the new pointer over the old one. This commits the change.
4. Write project file and lock.
5. Remove the journal.

If a command is killed before step 3, the next command that changes the project removes the new
generation. After step 3, it completes step 4. A file that the user has edited in the meantime is
never overwritten.
"""

from collections.abc import Iterator, Mapping
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
from skillpm.environment.swap_record import clear_journal, recover_inside, recover_outside
from skillpm.errors import StateError
from skillpm.files.folder import Folder
from skillpm.journal.atomic import signals_ignored, sweep_strays
from skillpm.journal.lock import Say, hold_lock
from skillpm.journal.owner import HOLDER
from skillpm.spec import json
from skillpm.spec.digests import Digest

IGNORE = ".gitignore"


@contextmanager
def writing(
    project: ProjectFolder, command: str, *, timeout: float, say: Say, home: Path | None = None
) -> Iterator[Generation | None]:
    """Hold the project's lock, and complete or undo an interrupted change first.

    Yields the generation if its change was completed, else None: if the user repeats the
    interrupted command, nothing is left to do. `home` has the records of grafts outside the
    project; without `home`, these are not recovered. `say` receives sentences for the user.
    """
    with project.open_state(create=True) as state:
        state.subfolder(GENERATIONS, create=True).close()
        with hold_lock(state, command, timeout=timeout, say=say):
            yield recover(project, say, home)


def commit(project: ProjectFolder, generation: Generation, files: Mapping[Path, str]) -> None:
    """Switch to a new generation, and write project file and lock (`files`, text by path).

    Call it under the project's lock. Raises `StateError`.
    """
    if generation.number > LAST_NUMBER:
        raise StateError(
            f"generation {generation.number} exceeds the largest possible number {LAST_NUMBER}"
        )
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
    with (
        signals_ignored()
    ):  # Else Ctrl-C could report an interruption after the change is committed.
        with project.open_state() as state:
            if generation.number == 0 and not state.has(IGNORE):
                state.write(IGNORE, b"*\n")  # The environment is local to this machine.
            state.write(JOURNAL, json.canonical(intent.to_dict()))
            with state.subfolder(GENERATIONS) as generations:
                generations.write(f"{generation.number}.json", generation.dumps())
            state.write(POINTER, f"{generation.number}\n".encode())
        for path, text in changed.items():
            project.write_file(path.name, text)
        clear_journal(project)


def update_file(project: ProjectFolder, path: Path, text: str) -> None:
    """Replace a project file without a new generation; an equal file is not written."""
    if _digest(project, path) != _of(text):
        project.write_file(path.name, text)


def recover(project: ProjectFolder, say: Say, home: Path | None = None) -> Generation | None:
    """Complete or undo an interrupted change. Returns the generation that was completed, if any.

    Call it under the lock. Raises `DamagedJournalError` if skillpm did not write the journal; then
    nothing is changed.
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
        notes = _recover_switch(project, intent)
    else:
        notes = recover_inside(project, intent)
    for note in notes:
        say(note)
    clear_journal(project)
    return project.generation() if notes and switched else None


def check_journal(project: ProjectFolder) -> None:
    """Raise `DamagedJournalError` if the journal cannot be carried out. Changes nothing."""
    data = project.find_state(JOURNAL)
    if data is None:
        return
    intent = parse_intent(data, project.journal)
    if isinstance(intent, SwitchIntent):
        _check_number(project, intent)


_OUTPUTS = (".skillpack", ".skillbundle")
"""Suffixes of files that commands write into the project's folder.

The folder has files of other programs too, so only temporary files of these names are removed.
"""


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
    notes = [f"completed the interrupted change to generation {intent.number}"]
    for file in intent.files:
        path = project.folder / file.name
        digest = _digest(project, path)
        if digest == (None if file.before is None else str(file.before)):
            project.write_file(file.name, file.after)
        elif digest != _of(file.after):
            notes.append(f"{file.name} was edited after the interruption: it is left as it is")
    return notes


def _check_number(project: ProjectFolder, intent: SwitchIntent) -> int:
    """The current generation's number, -1 if there is none.

    Raises `DamagedJournalError` if the journal switches to any but this or the next number.
    """
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
