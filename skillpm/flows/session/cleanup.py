"""The start of every command that writes: remove what killed commands left (law 4)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.environment.generation import Generation
from skillpm.environment.known_projects import KnownProjects
from skillpm.environment.project import ProjectFolder
from skillpm.environment.transaction import writing
from skillpm.errors import SkillpmError
from skillpm.files.access import HomeFolder
from skillpm.flows.session.permissions import REMEDY, exposed_places
from skillpm.flows.session.session import Session
from skillpm.journal.atomic import sweep_strays
from skillpm.store.scratch import sweep_scratch

_PART_SECONDS = 7 * 86_400.0
"""For how long a download that was cut off can be continued."""


@contextmanager
def project_transaction(
    session: Session, project: ProjectFolder, command: str
) -> Iterator[Generation | None]:
    """Clean up, then hold the project's lock. Interrupted changes are completed or undone first.

    Gives the generation that was completed, if any; see `writing`.
    """
    clean_up(session)
    with writing(
        project, command, timeout=session.lock_timeout, say=session.say, home=session.home
    ) as cut_off:
        yield cut_off


def clean_up(session: Session) -> None:
    """Remove what killed commands left in the home, in the registry and beside their outputs.

    Warns of places that another user can write. Costs the listing of a few folders. Never fails: a
    file that cannot be removed stays.
    """
    for place in exposed_places(session):
        session.say(f"warning: {place}; {REMEDY}")
    steps: tuple[Callable[[], None], ...] = (
        lambda: sweep_scratch(session.home, begins=True),
        lambda: session.store.sweep_staging(session.now.timestamp() - _PART_SECONDS),
        KnownProjects(session.home).sweep,
        session.verified.sweep,
        lambda: _sweep_caches(session.home),
        lambda: session.tidy_registry(session.default_registry),
    )
    for step in steps:
        with suppress(SkillpmError, OSError):
            step()


def _sweep_caches(home: Path) -> None:
    """Remove temporary files from the caches. Raises `StateError` or `MissingFileError`."""
    with HomeFolder.open(home) as opened, opened.subfolder("cache") as cache:
        for name in ("leaves", "measures"):
            with suppress(SkillpmError), cache.subfolder(name) as files:
                sweep_strays(files)
        for name in ("surveys", "fisher", "layers", "registries", "states"):
            with suppress(SkillpmError), cache.subfolder(name) as entries:
                for entry in entries.names():
                    with suppress(SkillpmError), entries.subfolder(entry) as files:
                        sweep_strays(files)
