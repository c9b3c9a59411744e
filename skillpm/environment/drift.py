"""How project file and lock have run ahead of the environment."""

from skillpm.environment.project import LOCK_FILE, PROJECT_FILE, ProjectFolder, wishes_of
from skillpm.errors import NotFoundError, SpecError, StateError


def drift(project: ProjectFolder) -> list[str]:
    """How project file and lock have run ahead of the environment, in sentences."""
    current = project.generation()
    notes: list[str] = []
    try:
        file, lock = project.read_file(), project.read_lock()
    except (SpecError, NotFoundError, StateError) as problem:
        return [problem.message]
    if project.was_cut_off:
        notes.append("a command was cut off; the next writing command completes or undoes it")
    if lock is None:
        notes.append(f"{LOCK_FILE} is missing; `skillpm install` writes it")
    elif not lock.same_set(current.lockfile):
        notes.append(f"{LOCK_FILE} runs ahead of what is installed; `skillpm install` applies it")
    if wishes_of(file) != current.wishes:
        notes.append(f"{PROJECT_FILE} asks for other skills; `skillpm install` applies it")
    return notes
