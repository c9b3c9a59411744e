"""Which generations are old, and what stays of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from skillpm.environment.generation import Generation
from skillpm.environment.project import GENERATIONS, ProjectFolder

KEEP = 10
OLDER_THAN_DAYS = 30.0
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Keeping:
    """How many generations are kept, and those superseded less than so many days ago.

    A rule that is not given does not hold anything back; with neither, ten generations and thirty
    days are kept. The current generation always is.
    """

    keep: int | None
    older_than: float | None

    def prunable(self, project: ProjectFolder, now: datetime) -> Iterator[Generation]:
        """The generations that go, oldest first. One without skills holds nothing: it stays."""
        both = self.keep is None and self.older_than is None
        keep = KEEP if both else max(self.keep or 1, 1)
        days = OLDER_THAN_DAYS if both else self.older_than or 0.0
        generations = project.generations()
        for one, following in pairwise(generations):
            held = one.pruned is None and one.skills
            beyond = one.number <= project.current() - keep
            aged = not days or _age(following, now) >= timedelta(days=days)
            if held and beyond and aged:
                yield one

    def ahead(self, project: ProjectFolder, now: datetime) -> Iterator[Generation]:
        """The generations dated more than a day after `now`, where age decides what is kept."""
        if self.keep is not None and self.older_than is None:
            return
        for one in project.generations()[1:]:
            if _age(one, now) < timedelta(days=-1):
                yield one


def _age(following: Generation, now: datetime) -> timedelta:
    """How long a generation has not been current; nothing where its successor's time is unread."""
    try:
        made = datetime.strptime(following.created, TIME).replace(tzinfo=UTC)
    except ValueError:
        return timedelta(0) - timedelta(days=1)
    return now - made


def prune(project: ProjectFolder, generation: Generation, now: datetime) -> None:
    """Leave number, time, cause and skills of a generation. Call it under the project's lock."""
    pruned = generation.as_pruned(now.strftime(TIME))
    with project.open_state() as state, state.subfolder(GENERATIONS) as generations:
        generations.write(f"{generation.number}.json", pruned.dumps())
