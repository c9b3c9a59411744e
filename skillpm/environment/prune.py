"""Which generations are old enough to prune, and pruning them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from skillpm.environment.generation import Generation
from skillpm.environment.project import GENERATIONS, ProjectFolder

KEEP = 10
"""The default number of generations to keep."""
OLDER_THAN_DAYS = 30.0
"""The default age, in days, up to which generations are kept."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
"""The format of times in a generation, in UTC."""


@dataclass(frozen=True)
class Keeping:
    """Which generations `gc` keeps: the newest `keep`, and those current in the last days.

    `older_than` is in days, counted from when the next generation replaced a generation. A rule of
    None keeps nothing by itself. If both are None, the defaults `KEEP` and `OLDER_THAN_DAYS` hold.
    The current generation is always kept.
    """

    keep: int | None
    older_than: float | None

    def prunable(self, project: ProjectFolder, now: datetime) -> Iterator[Generation]:
        """The generations to prune, oldest first.

        A generation without skills stays, because it needs no blobs.
        """
        both = self.keep is None and self.older_than is None
        keep = KEEP if both else max(self.keep or 1, 1)
        days = OLDER_THAN_DAYS if both else self.older_than or 0.0
        generations = project.generations()
        for generation, following in pairwise(generations):
            holds_packs = generation.pruned is None and generation.skills
            is_beyond = generation.number <= project.current() - keep
            is_old = not days or _age(following, now) >= timedelta(days=days)
            if holds_packs and is_beyond and is_old:
                yield generation

    def ahead(self, project: ProjectFolder, now: datetime) -> Iterator[Generation]:
        """The generations dated more than a day after `now`; none if age is not a rule."""
        if self.keep is not None and self.older_than is None:
            return
        for generation in project.generations()[1:]:
            if _age(generation, now) < timedelta(days=-1):
                yield generation


def _age(following: Generation, now: datetime) -> timedelta:
    """The time since a generation was replaced by the `following` one.

    A time that cannot be parsed gives one day in the future, so that the generation is kept.
    """
    try:
        made = datetime.strptime(following.created, TIME).replace(tzinfo=UTC)
    except ValueError:
        return timedelta(0) - timedelta(days=1)
    return now - made


def prune(project: ProjectFolder, generation: Generation, now: datetime) -> None:
    """Remove lock and requirements from a generation's file. Call it under the project's lock."""
    pruned = generation.as_pruned(now.strftime(TIME))
    with project.open_state() as state, state.subfolder(GENERATIONS) as generations:
        generations.write(f"{generation.number}.json", pruned.dumps())
