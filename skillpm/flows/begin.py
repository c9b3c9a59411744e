"""How every command that writes begins: what killed commands left goes (law 4)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from skillpm.environment.generation import Generation
from skillpm.environment.known import KnownProjects
from skillpm.environment.project import Project
from skillpm.environment.transaction import writing
from skillpm.errors import SkillpmError
from skillpm.flows.setting import Setting
from skillpm.journal.atomic import remove_strays
from skillpm.store.scratch import sweep_scratch


@contextmanager
def changing(setting: Setting, project: Project, command: str) -> Iterator[Generation | None]:
    """Hold the project's lock, with nothing left of what was cut off; see `writing`."""
    tidy(setting)
    with writing(project, command, timeout=setting.lock_timeout, say=setting.say) as cut_off:
        yield cut_off


def tidy(setting: Setting) -> None:
    """Remove what killed commands left in home and registry, and beside the files they wrote.

    Costs the listing of a few folders. Never fails: what cannot be removed stays.
    """
    cache = setting.home / "cache"
    with suppress(OSError):
        sweep_scratch(setting.home, begins=True)
        setting.store.sweep_staging()
        KnownProjects(setting.home).sweep()
        for folder in (cache / "leaves", cache / "measures", *(cache / "surveys").glob("*")):
            remove_strays(folder)
    with suppress(SkillpmError, OSError):
        setting.tidy_registry(setting.default_registry)
