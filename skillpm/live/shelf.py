"""Skills that are attached, and those of them that are ready to run: as many as a limit lets be."""

import threading
from collections.abc import Callable, Mapping
from itertools import count

from skillpm.errors import GraftError, UnknownSkillError
from skillpm.live.making import Ready, make_ready
from skillpm.live.places import ParameterMap
from skillpm.live.stack import SkillLayers
from skillpm.spec.nearest import did_you_mean


class SkillCache:
    """Every attached skill by name. What is ready takes `limit` bytes at most; the last made stays.

    An attached skill costs what its manifest takes; its payload stays in the store. Any thread may
    ask; a skill is made once. `check` raises `GraftError` for one that cannot run.
    """

    def __init__(
        self,
        stacks: Mapping[str, SkillLayers],
        places: ParameterMap,
        limit: int,
        check: Callable[[Ready], None],
    ) -> None:
        self.stacks = stacks
        self.places = places
        self.limit = limit
        self._check = check
        self._ready: dict[str, Ready] = {}
        self._used: dict[str, int] = {}
        self._clock = count()
        self._lock = threading.Lock()

    def known(self, skill: str) -> SkillLayers:
        """An attached skill.

        Raises `UnknownSkillError` with the nearest, `GraftError` for one that cannot run live.
        """
        stack = self.stacks.get(skill)
        if stack is None:
            hint = did_you_mean(skill, self.stacks, otherwise="`skillpm list`")
            raise UnknownSkillError(f"`{skill}` is not installed", hint=hint)
        if stack.refusal is not None:
            raise GraftError(
                f"`{skill}` cannot run live: {stack.refusal}",
                hint=f"`skillpm graft --only {skill}` writes it as a model",
            )
        return stack

    def get(self, skill: str) -> Ready:
        """A skill that can run now; made where it is not, which may put others away."""
        ready = self._ready.get(skill)
        if ready is None:
            stack = self.known(skill)
            with self._lock:
                ready = self._ready.get(skill) or self._make(stack)
        self._used[skill] = next(self._clock)
        return ready

    def _make(self, stack: SkillLayers) -> Ready:
        made = make_ready(stack, self.places)
        self._check(made)
        others = sorted(self._ready, key=lambda skill: self._used.get(skill, 0))
        room = self.limit - made.nbytes - self.nbytes
        for skill in others:
            if room >= 0:
                break
            room += self._ready.pop(skill).nbytes
        self._ready[stack.skill] = made
        return made

    def forget(self) -> None:
        """Nothing is ready any more: the base moved to another device or dtype."""
        with self._lock:
            self._ready.clear()

    @property
    def warm(self) -> tuple[str, ...]:
        """The skills that are ready, by name."""
        return tuple(sorted(self._ready))

    def ready_bytes(self, skill: str) -> int:
        """The bytes of one skill that is ready; 0 where it is not."""
        ready = self._ready.get(skill)
        return ready.nbytes if ready else 0

    @property
    def nbytes(self) -> int:
        """The bytes of all that is ready."""
        return sum(ready.nbytes for ready in list(self._ready.values()))
