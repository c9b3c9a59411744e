"""Caches the attached skills that are prepared to run, up to a limit of bytes."""

import threading
from collections.abc import Callable, Mapping
from itertools import count

from skillpm.errors import GraftError, UnknownSkillError
from skillpm.live.parameter_map import ParameterMap
from skillpm.live.prepare import PreparedSkill, prepare_skill
from skillpm.live.skill_layers import SkillLayers
from skillpm.spec.nearest import did_you_mean


class SkillCache:
    """Every attached skill by name, and those that are ready, in at most `limit` bytes.

    The skill prepared last is kept even if it exceeds the limit; the least recently used are
    dropped first. An attached skill that is not ready takes only its manifest; its payload stays in
    the store. Any thread may call; a skill is prepared once. `check` raises `GraftError` for a
    skill that cannot run.
    """

    def __init__(
        self,
        layers: Mapping[str, SkillLayers],
        parameters: ParameterMap,
        limit: int,
        check: Callable[[PreparedSkill], None],
    ) -> None:
        self.layers = layers
        self.parameters = parameters
        self.limit = limit
        self._check = check
        self._prepared: dict[str, PreparedSkill] = {}
        self._used: dict[str, int] = {}
        self._clock = count()
        self._lock = threading.Lock()

    def find(self, skill: str) -> SkillLayers:
        """Return an attached skill.

        Raises `UnknownSkillError` with the nearest name, `GraftError` for one that cannot run live.
        """
        skill_layers = self.layers.get(skill)
        if skill_layers is None:
            hint = did_you_mean(skill, self.layers, otherwise="`skillpm list`")
            raise UnknownSkillError(f"`{skill}` is not installed", hint=hint)
        if skill_layers.refusal is not None:
            raise GraftError(
                f"`{skill}` cannot run live: {skill_layers.refusal}",
                hint=f"`skillpm graft --only {skill}` writes a model folder with the skill",
            )
        return skill_layers

    def get(self, skill: str) -> PreparedSkill:
        """Return a skill that can run now; preparing it may drop others from the cache."""
        prepared = self._prepared.get(skill)
        if prepared is None:
            skill_layers = self.find(skill)
            with self._lock:
                prepared = self._prepared.get(skill) or self._prepare(skill_layers)
        self._used[skill] = next(self._clock)
        return prepared

    def _prepare(self, skill_layers: SkillLayers) -> PreparedSkill:
        prepared = prepare_skill(skill_layers, self.parameters)
        self._check(prepared)
        least_recent_first = sorted(self._prepared, key=lambda skill: self._used.get(skill, 0))
        free = self.limit - prepared.nbytes - self.nbytes
        for skill in least_recent_first:
            if free >= 0:
                break
            free += self._prepared.pop(skill).nbytes
        self._prepared[skill_layers.skill] = prepared
        return prepared

    def forget(self) -> None:
        """Drop all prepared skills, because the base moved to another device or dtype."""
        with self._lock:
            self._prepared.clear()

    @property
    def warm(self) -> tuple[str, ...]:
        """The names of the skills that are ready, sorted."""
        return tuple(sorted(self._prepared))

    def ready_bytes(self, skill: str) -> int:
        """Return the bytes of a skill if it is ready, else 0."""
        prepared = self._prepared.get(skill)
        return prepared.nbytes if prepared else 0

    @property
    def nbytes(self) -> int:
        """The bytes of all skills that are ready."""
        return sum(prepared.nbytes for prepared in list(self._prepared.values()))
