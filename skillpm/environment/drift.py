"""Differences between a project's files and its environment."""

from skillpm.environment.generation import Generation
from skillpm.environment.project import ProjectFolder, requirements_table
from skillpm.environment.search import LOCK_FILE, PROJECT_FILE
from skillpm.errors import NotFoundError, SpecError, StateError


def drift(project: ProjectFolder, current: Generation) -> list[str]:
    """Describe where the project file or the lock differs from the current generation.

    Returns one sentence for each difference; none where all three agree.
    """
    notes: list[str] = []
    try:
        file, lock = project.read_file(), project.read_lock()
    except (SpecError, NotFoundError, StateError) as problem:
        return [problem.message]
    if project.was_cut_off:
        notes.append(
            "a command was interrupted; the next command that changes the project completes or "
            "undoes it"
        )
    if lock is None:
        notes.append(f"{LOCK_FILE} is missing; `skillpm install` writes it")
    elif not lock.same_set(current.lockfile):
        notes.append(
            f"{LOCK_FILE} differs from what is installed; `skillpm install` installs its skills"
        )
    if requirements_table(file) != current.wishes:
        notes.append(
            f"{PROJECT_FILE} requires other skills than are installed; `skillpm install` installs "
            "them"
        )
    return notes
